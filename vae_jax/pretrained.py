"""Load a trained model from whatever holds one, and encode, decode, reconstruct and sample with it.

``load`` finds out what a path is: a run folder, a Flax checkpoint folder, any file that
``read_checkpoint`` reads, one of Paddle's two files, the prefix of a TensorFlow checkpoint.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.convert.reference import read_reference
from vae_jax.convert.tensorflow.checkpoint import checkpoint_prefix
from vae_jax.data.pixels import model_pixels
from vae_jax.distributions import Posterior, example_noise
from vae_jax.errors import UserError
from vae_jax.models import create_model, get_spec
from vae_jax.models.hyper import canonical
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec
from vae_jax.typing import AnyArray, Image, Key, Latent, Variables

_CHUNK_BYTES = 2**30  # of the widest layer's outputs, taken to be 64 channels at full resolution
_MOST = 256  # images in a chunk: more is no faster

Label = int | Sequence[int] | np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A model with its weights.

    Images are NHWC. What goes in is uint8 (0 to 255) or floats in the model's pixel range; what
    comes out is in the model's pixel range. Any number of images or latents is worked off in
    chunks that fit memory. A model that takes labels (``digits_cvae``) wants ``label``: one class
    number for all, or one for each image.

    Attributes:
        name: one of ``vae_jax.MODELS``.
        hyper: hyperparameters that differ from the reference's.
        variables: the weights, as NumPy arrays.
        recipe: how it was trained, or the reference's recipe where that is not known.
        remarks: what was left out of a reference checkpoint, or kept only for export, and why.
        files: the reference checkpoint's files; empty for a folder.
        key: where in its file the weights were chosen from, or None.
    """

    name: str
    hyper: dict[str, Any]
    variables: Variables
    recipe: Recipe
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    key: str | None = None

    @property
    def spec(self) -> ModelSpec:
        """The model's row of ``vae_jax.MODELS``."""
        return get_spec(self.name)

    @cached_property
    def model(self) -> nn.Module:
        """The Flax module."""
        return create_model(self.name, **self.hyper)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.model.image_shape  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def latent_size(self) -> int:
        """Length of a latent."""
        return self.model.latent_size  # pyright: ignore[reportAttributeAccessIssue]

    def encode(
        self, images: AnyArray, label: Label | None = None, *, check_range: bool = True
    ) -> Posterior:
        """Encode images [N, H, W, C] into their posteriors, with NumPy arrays [N, L].

        Args:
            images: uint8, or floats in the model's pixel range.
            label: class numbers, for a model that takes labels.
            check_range: refuse floats outside the range; noisy images may lie outside it.

        Returns:
            The posterior; ``np.asarray`` of a plain autoencoder's is its latents [N, L].

        Raises:
            UserError: the images have another shape, type or range, or the labels do not fit.
        """
        return self._in_chunks("encode", partial(self._pixels, check_range), images, label)

    def decode(self, z: AnyArray, label: Label | None = None) -> np.ndarray:
        """Decode latents [N, L] into images [N, H, W, C] in the model's pixel range.

        Raises:
            UserError: the latents have another shape, or the labels do not fit.
        """
        return self._in_chunks("decode", self._latents, np.asarray(z), label)

    def reconstruct(self, images: AnyArray, label: Label | None = None) -> np.ndarray:
        """Decode the posterior means of images [N, H, W, C]; takes what ``encode`` takes."""
        return self.decode(self.encode(images, label).mean, label)

    def sample(self, count: int, *, key: Key, label: Label | None = None) -> np.ndarray:
        """Decode ``count`` draws from the prior.

        Args:
            count: how many images.
            key: a PRNG key such as ``jax.random.key(0)``.
            label: class numbers, for a model that takes labels.

        Returns:
            [count, H, W, C] in the model's pixel range.

        Raises:
            UserError: the model is a plain autoencoder.
        """
        if not self.spec.variational:
            raise UserError(
                f"{self.name} is a plain autoencoder: it has no prior to sample from; use "
                "reconstruct"
            )
        return self.decode(example_noise(key, count, self.latent_size), label)

    def to_unit(self, images: AnyArray) -> np.ndarray:
        """Map images from the model's pixel range to [0, 1]."""
        low, high = self.spec.pixel_range
        return (np.asarray(images) - low) / (high - low)

    def require_finite(self, images: AnyArray) -> None:
        """Raise UserError if decoded images are not finite."""
        if not np.isfinite(images).all():
            raise UserError(f"{self.name}'s pictures are not finite; its weights hold NaN?")

    def label_if_taken(self, label: Label | None) -> Label | None:
        """Return ``label`` if the model takes labels, else None: for labels that data come with."""
        return label if self.spec.num_classes else None

    def one_hot(self, label: Label | None, count: int) -> np.ndarray | None:
        """Turn class numbers into the model's one-hot labels [count, K]; None if it takes none.

        Raises:
            UserError: a label is missing, not wanted, or not a class of the model; or there are
                neither one nor ``count`` of them.
        """
        classes = self.spec.num_classes
        if not classes:
            if label is not None:
                raise UserError(f"{self.name} takes no label; leave out label (--label)")
            return None
        if label is None:
            raise UserError(
                f"{self.name} takes a label with each image; give label (--label) 0 to "
                f"{classes - 1}"
            )
        numbers = np.asarray(label)
        if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (1,), (count,)):
            raise UserError(
                f"labels of shape {numbers.shape} and type {numbers.dtype} for {count} images; "
                "expected one class number for all, or one for each"
            )
        wrong = numbers[(numbers < 0) | (numbers >= classes)].ravel()
        if len(wrong):
            raise UserError(f"a label is {wrong[0]}; {self.name} takes 0 to {classes - 1}")
        return np.eye(classes, dtype=np.float32)[np.resize(numbers, count)]

    @cached_property
    def _on_device(self) -> Variables:
        """The weights, on the device once: NumPy arrays would be copied there at every call."""
        return jax.device_put(self.variables)

    @cached_property
    def _dtype(self) -> np.dtype:
        return np.result_type(*(leaf.dtype for leaf in jax.tree.leaves(self.variables["params"])))

    def _in_chunks(self, method: str, prepare: Any, values: Any, label: Label | None) -> Any:
        """Apply a method of the model to rows, chunk by chunk; ``prepare`` checks a chunk."""
        count = len(values)
        labels = self.one_hot(label, count)
        height, width, _ = self.image_shape
        chunk = min(_MOST, max(1, _CHUNK_BYTES // (height * width * 64 * 4)))
        parts = []
        for start in range(0, max(count, 1), chunk):
            rows = slice(start, start + chunk)
            given = [prepare(values[rows]), *([] if labels is None else [labels[rows]])]
            real = len(given[0])
            # A last chunk that is not full repeats rows, so that no other shape is compiled; of no
            # rows at all one blank one is computed, for its shapes.
            rows_given = chunk if start else max(1, real)
            given = [jnp.asarray(np.resize(a, (rows_given, *a.shape[1:]))) for a in given]
            found = jax.device_get(_apply(self.model, method, self._on_device, *given))
            parts.append(jax.tree.map(lambda leaf, real=real: leaf[:real], found))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    def _pixels(self, check_range: bool, images: AnyArray) -> Image:
        try:
            x = model_pixels(images, self.image_shape, self.spec.pixel_range, check_range)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from error
        return x.astype(self._dtype)

    def _latents(self, z: Any) -> Latent:
        if z.ndim != 2 or z.shape[1] != self.latent_size:
            raise UserError(
                f"latents of shape {list(z.shape)}; {self.name} takes [N, {self.latent_size}]"
            )
        return np.asarray(z).astype(self._dtype)


@partial(jax.jit, static_argnums=(0, 1))  # here, so that a second Pretrained compiles nothing
def _apply(model: nn.Module, method: str, variables: Variables, *arguments: AnyArray) -> Any:
    return model.apply(variables, *arguments, method=method)


StrPath = str | os.PathLike[str]


def load(
    path: StrPath | Sequence[StrPath],
    model: str | None = None,
    *,
    key: str | None = None,
    **hyper: Any,
) -> Pretrained:
    """Load a trained model from a run, a Flax checkpoint folder or a reference checkpoint.

    Args:
        path: a run folder, one of its ``checkpoints/STEP``, a Flax checkpoint folder, a file that
            ``read_checkpoint`` reads, or the prefix of a TensorFlow checkpoint. Where encoder and
            decoder are saved apart, both files, the encoder's first; or one, if the other lies
            beside it under the name that its tutorial gives it.
        model: the model of a file; default: the one whose tensors the file holds.
        key: the dotted path of the weights in a file that holds several sets.
        **hyper: hyperparameters that a file's tensor shapes do not determine.

    Raises:
        UserError: there is nothing to load, or it is of another model.
        CheckpointError: what is there cannot be read, or is not the model's.

    Example:
        >>> from importlib.resources import files
        >>> pretrained = load(str(files("vae_jax") / "assets" / "AEdigits.pt"))
        >>> pretrained.reconstruct(np.zeros((2, 28, 28, 1), np.uint8)).shape
        (2, 28, 28, 1)
    """
    given = [path] if isinstance(path, str | os.PathLike) else path
    paths = [Path(item) for item in given]
    first = paths[0]
    if len(paths) > 1 or first.is_file() or checkpoint_prefix(first) is not None:
        found = read_reference(paths, model, key, hyper)
        recipe = get_spec(found.name).recipe
        return Pretrained(
            found.name, found.hyper, found.variables, recipe, found.remarks, found.files, key
        )
    if not first.exists():
        raise UserError(
            f"{first} does not exist; expected a run folder, a Flax checkpoint folder or a "
            "reference checkpoint (a file, or the prefix of a TensorFlow checkpoint)"
        )
    from vae_jax.training import checkpoint  # Orbax, which files do not need
    from vae_jax.training import run as run_folder

    folder, step = first, None
    if first.parent.name == "checkpoints" and first.name.isdigit():
        folder, step = first.parent.parent, int(first.name)
    if run_folder.is_run(folder):
        run = run_folder.open_run(folder)
        loaded = Pretrained(
            run.model, run.hyper, checkpoint.load_run_variables(run.checkpoints, step), run.recipe
        )
    elif checkpoint.is_flax_checkpoint(first):
        name, kept, variables = checkpoint.load_variables(first)
        loaded = Pretrained(name, kept, variables, get_spec(name).recipe)
    else:
        raise UserError(
            f"{first} is neither a run folder (with run.json) nor a Flax checkpoint folder (with "
            "model.json)"
        )
    if model not in (None, loaded.name):
        raise UserError(f"{first} holds {loaded.name}, not {model}: name {loaded.name}")
    if hyper and canonical(loaded.spec, hyper) != loaded.hyper:
        raise UserError(
            f"{first} has the hyperparameters {loaded.hyper or 'of the reference'}, not {hyper}; "
            "leave them out (--hyper)"
        )
    if key is not None:
        raise UserError(f"{first} is a folder; key (--key) chooses inside a checkpoint file")
    return loaded
