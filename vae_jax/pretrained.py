"""Load a trained model from any source; encode, decode, reconstruct and sample with it."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import jax  # many of its functions have no full hints
import jax.numpy as jnp
import numpy as np

from vae_jax.convert.errors import reading
from vae_jax.convert.mapping import require_finite
from vae_jax.convert.read import describe_folder
from vae_jax.convert.reference import read_reference
from vae_jax.convert.tensorflow.checkpoint import checkpoint_prefix
from vae_jax.data.pixels import model_pixels
from vae_jax.distributions import Posterior, example_noise
from vae_jax.errors import UserError
from vae_jax.files import require_local
from vae_jax.models import create_model, get_spec
from vae_jax.models.base import Autoencoder
from vae_jax.models.hyper import parse_hyperparameters
from vae_jax.models.labels import Label, one_hot
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec
from vae_jax.typing import AnyArray, Image, Key, Latent, Variables

_CHUNK_BYTES = 2**30  # of the widest layer's outputs, assumed to be 64 channels at full resolution
_MOST = 256  # images in a chunk: more is no faster

StrPath = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A model with its weights.

    Images are NHWC. Inputs are uint8 (0 to 255) or floats in the model's pixel range; outputs are
    in the model's pixel range. Any number of images or latents is processed in chunks that fit in
    memory. A model with labels (``digits_cvae``) needs ``label``, one for all images or one each.

    Attributes:
        name: one of ``vae_jax.MODELS``.
        hyper: hyperparameters that differ from the reference's.
        variables: the weights, as NumPy arrays.
        recipe: how it was trained, or the reference's recipe if that is unknown.
        remarks: why tensors of a reference checkpoint were ignored, or kept only for export.
        files: the reference checkpoint's files; empty for a folder.
        key: the path of the weights in a file with several sets, or None.
    """

    name: str
    hyper: dict[str, object]
    variables: Variables
    recipe: Recipe
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    key: str | None = None

    @property
    def spec(self) -> ModelSpec:
        """Return the model's entry in ``vae_jax.MODELS``."""
        return get_spec(self.name)

    @cached_property
    def model(self) -> Autoencoder:
        """Return the Flax module."""
        return create_model(self.name, **self.hyper)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return an image's height, width and channels."""
        return self.model.image_shape

    @property
    def latent_size(self) -> int:
        """Return the length of a latent."""
        return self.model.latent_size

    def encode(
        self, images: AnyArray, label: Label | None = None, *, check_range: bool = True
    ) -> Posterior:
        """Encode images [N, H, W, C] into their posteriors, with NumPy arrays [N, L].

        A plain autoencoder's posterior is a point: ``np.asarray`` returns its latents. Without
        ``check_range`` floats may be outside the model's pixel range, as noisy images are.

        Raises:
            UserError: the images have another shape, type or range, or the labels do not fit.
        """
        prepare = partial(self._pixels, check_range)
        return cast(Posterior, self._in_chunks("encode", prepare, images, label))

    def decode(self, z: AnyArray, label: Label | None = None) -> np.ndarray:
        """Decode latents [N, L] into images [N, H, W, C] in the model's pixel range.

        Raises:
            UserError: the latents have another shape, or the labels do not fit.
        """
        return cast(np.ndarray, self._in_chunks("decode", self._latents, np.asarray(z), label))

    def reconstruct(self, images: AnyArray, label: Label | None = None) -> np.ndarray:
        """Decode the posterior means of images [N, H, W, C], which are as in ``encode``."""
        return self.decode(self.encode(images, label).mean, label)

    def sample(self, count: int, *, key: Key, label: Label | None = None) -> np.ndarray:
        """Decode ``count`` draws from the prior into images [count, H, W, C].

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
        """Return ``label`` if the model takes labels, else None."""
        return label if self.spec.num_classes else None

    def one_hot(self, label: Label | None, count: int) -> np.ndarray | None:
        """Return one-hot labels [count, K]; see ``models.labels.one_hot``."""
        return one_hot(self.spec, label, count)

    @cached_property
    def _on_device(self) -> Variables:
        """Copy the weights to the device once; as NumPy arrays every call would copy them."""
        return jax.device_put(self.variables)

    @cached_property
    def _dtype(self) -> np.dtype:
        return np.result_type(*(leaf.dtype for leaf in jax.tree.leaves(self.variables["params"])))

    def _in_chunks(
        self,
        method: str,
        prepare: Callable[[AnyArray], AnyArray],
        values: AnyArray,
        label: Label | None,
    ) -> object:
        """Apply a method of the model to each chunk of rows, after ``prepare`` has checked it."""
        count = len(values)
        labels = self.one_hot(label, count)
        height, width, _ = self.image_shape
        chunk = min(_MOST, max(1, _CHUNK_BYTES // (height * width * 64 * 4)))
        parts: list[object] = []
        for start in range(0, max(count, 1), chunk):
            rows = slice(start, start + chunk)
            given = [prepare(values[rows]), *([] if labels is None else [labels[rows]])]
            real = len(given[0])
            # An incomplete last chunk repeats rows, so that no other shape is compiled; without
            # rows, a blank one yields the output shapes.
            rows_given = chunk if start else max(1, real)
            given = [jnp.asarray(np.resize(a, (rows_given, *a.shape[1:]))) for a in given]
            found = jax.device_get(_apply(self.model, method, self._on_device, *given))
            parts.append(jax.tree.map(operator.itemgetter(slice(real)), found))
        return jax.tree.map(_joined, *parts)

    def _pixels(self, check_range: bool, images: AnyArray) -> Image:
        try:
            x = model_pixels(images, self.image_shape, self.spec.pixel_range, check_range)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from error
        return x.astype(self._dtype)

    def _latents(self, z: AnyArray) -> Latent:
        if z.ndim != 2 or z.shape[1] != self.latent_size:
            raise UserError(
                f"latents of shape {list(z.shape)}; {self.name} takes [N, {self.latent_size}]"
            )
        return np.asarray(z).astype(self._dtype)


def _joined(*chunks: np.ndarray) -> np.ndarray:
    return np.concatenate(chunks)


@partial(jax.jit, static_argnums=(0, 1))  # no method, so that all instances share compilations
def _apply(model: Autoencoder, method: str, variables: Variables, *arguments: AnyArray) -> object:
    return model.apply(variables, *arguments, method=method)


def load(
    path: StrPath | Sequence[StrPath],
    model: str | None = None,
    *,
    key: str | None = None,
    **hyper: object,
) -> Pretrained:
    """Load a trained model from a run, a Flax checkpoint folder or a reference checkpoint.

    Args:
        path: a run folder, one of its ``checkpoints/STEP``, a Flax checkpoint folder, a file that
            ``read_checkpoint`` reads, or the prefix of a TensorFlow checkpoint. If encoder and
            decoder are in two files: both, the encoder's first, or one with the other beside it.
        model: the model's name; by default it is inferred from the file's tensors.
        key: the dotted path of the weights in a file with several sets.
        **hyper: hyperparameters that a file's tensor shapes do not determine.

    Raises:
        UserError: there is nothing to load, or it belongs to another model.
        CheckpointError: the checkpoint cannot be read, does not fit the model, or holds weights
            that are not finite, which no command can use.

    Example:
        >>> from importlib.resources import files
        >>> pretrained = load(str(files("vae_jax") / "assets" / "AEdigits.pt"))
        >>> pretrained.reconstruct(np.zeros((2, 28, 28, 1), np.uint8)).shape
        (2, 28, 28, 1)
    """
    paths = [Path(item) for item in ([path] if isinstance(path, str | os.PathLike) else path)]
    require_local(*paths)
    first = paths[0]
    if len(paths) > 1 or first.is_file() or checkpoint_prefix(first) is not None:
        found = read_reference(paths, model, key, hyper)
        loaded = Pretrained(found.name, found.hyper, found.variables, get_spec(found.name).recipe)
        return dataclasses.replace(loaded, remarks=found.remarks, files=found.files, key=key)
    if not first.exists():
        raise UserError(
            f"{first} does not exist; expected a run folder, a Flax checkpoint folder or a "
            "reference checkpoint (a file, or the prefix of a TensorFlow checkpoint)"
        )
    from vae_jax.training import checkpoint  # imports Orbax, which files do not need
    from vae_jax.training import run as run_folder

    folder, step = first, None
    if first.parent.name == "checkpoints" and first.name.isdigit():
        folder, step = first.parent.parent, int(first.name)
    if run_folder.is_run(folder):
        run = run_folder.open_run(folder)
        variables = checkpoint.load_run_variables(run.checkpoints, step)
        loaded = Pretrained(run.model, run.hyper, variables, run.recipe)
    elif checkpoint.is_flax_checkpoint(first):
        name, kept, variables = checkpoint.load_variables(first)
        loaded = Pretrained(name, kept, variables, get_spec(name).recipe)
    else:
        raise UserError(
            f"{first} is neither a run folder (with run.json) nor a Flax checkpoint folder (with "
            f"model.json); it {describe_folder(first)}"
        )
    if model not in (None, loaded.name):
        raise UserError(f"{first} holds {loaded.name}, not {model}: name {loaded.name}")
    if hyper and parse_hyperparameters(loaded.spec, hyper) != loaded.hyper:
        raise UserError(
            f"{first} has the hyperparameters {loaded.hyper or 'of the reference'}, not {hyper}; "
            "leave them out (--hyper)"
        )
    if key is not None:
        raise UserError(f"{first} is a folder; key (--key) chooses inside a checkpoint file")
    with reading(first):
        require_finite(loaded.name, loaded.variables, **loaded.hyper)
    return loaded
