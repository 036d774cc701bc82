"""Training of the attribute classifier: faces blurred and dimmed as decoders do.

A decoder's pictures are softer and paler than the faces it learned from. Each training face is
therefore blurred by a width of its own, its contrast changed a little, and a little noise added,
so that the classifier relies on what survives these. It also learns to tell one face from several
laid over each other: of such ghosts, which no attribute describes, it could otherwise say anything.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.errors import CheckpointError
from vae_jax.files import replacing
from vae_jax.optim import scale_by_adam
from vae_jax.typing import AnyArray, Array, Float, Image, Key, PerExample, Pixels

from .classifier import SIDE, Classifier, require_attributes, shrink

_REACH = 4  # pixels a blur looks each way
_ADAM = scale_by_adam(0.9, 0.999, 1e-8)
Small = Float[AnyArray, "B 64 64 3"]


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How much a training face may be changed.

    Attributes:
        largest_blur: standard deviation in pixels of 64 x 64; each face gets one from 0 to this.
        contrast: lowest and highest factor of the differences from a face's mean.
        largest_noise: standard deviation, of pixels in [0, 1]; drawn as the blur's.
    """

    largest_blur: float = 1.5
    contrast: tuple[float, float] = (0.8, 1.1)
    largest_noise: float = 0.03


@dataclasses.dataclass(frozen=True)
class ClassifierRecipe:
    """Hyperparameters of the training; the defaults are those of the published figures.

    Attributes:
        num_images: training pictures, drawn at random; all where there are fewer.
        epochs: passes over them.
        batch_size: faces a step.
        learning_rate: Adam's, at first; it falls to 0 along a cosine.
        augmentation: what is done to each face, anew in each epoch.
        seed: of weights, order and augmentation.
    """

    num_images: int = 9000
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 2e-3
    augmentation: Augmentation = Augmentation()
    seed: int = 0


def train_classifier(
    images: Image | Pixels,
    attributes: Mapping[str, np.ndarray],
    recipe: ClassifierRecipe,
    key: Key | None = None,
) -> dict[str, Any]:
    """Train the attribute classifier.

    Args:
        images: as for ``shrink``; a memory map is read once, and kept as 64 x 64.
        attributes: columns [N] "glasses" (yes or no), "person" (man or woman) and
            "frame_lightness" (NaN without glasses).
        recipe: every number of the training.
        key: of all that is random; None for that of the recipe's seed.

    Returns:
        The parameters of ``Classifier``, NumPy arrays.

    Raises:
        DataError: an attribute is missing, or the pictures are of another shape.
    """
    require_attributes(attributes, "the training data")
    init_key, choice_key, order_key, step_key = jax.random.split(
        jax.random.key(recipe.seed) if key is None else key, 4
    )
    chosen = np.sort(jax.random.permutation(choice_key, len(images))[: recipe.num_images])
    small = shrink(images)[chosen]
    targets = {name: values[chosen] for name, values in make_targets(attributes).items()}
    size = min(recipe.batch_size, len(small))
    num_steps = len(small) // size
    order = np.arange(len(small))
    rates = np.cos(np.linspace(0, np.pi, recipe.epochs * num_steps, endpoint=False)) / 2 + 0.5
    rates = (recipe.learning_rate * rates).astype(np.float32)
    params = Classifier().init(init_key, small[:1])["params"]
    state = _ADAM.init(params)
    for number, rate in enumerate(rates):
        epoch, place = divmod(number, num_steps)
        if place == 0:
            key = jax.random.fold_in(order_key, epoch)
            order = np.asarray(jax.random.permutation(key, len(small)))
        rows = order[place * size : (place + 1) * size]
        batch = {"image": small[rows], **{name: t[rows] for name, t in targets.items()}}
        at = jax.random.fold_in(step_key, number)
        params, state = _step(recipe.augmentation, params, state, batch, rate, at)
    return jax.device_get(params)


@partial(jax.jit, static_argnums=0)
def _step(
    augmentation: Augmentation, params: Any, state: Any, batch: Any, rate: Any, key: Key
) -> tuple[Any, Any]:
    def loss(params: Any) -> jax.Array:
        face_key, mix_key, ghost_key = jax.random.split(key, 3)
        faces = augment(batch["image"], augmentation, face_key)
        ghosts = augment(superpose(batch["image"], mix_key), augmentation, ghost_key)
        logits: Any = Classifier().apply({"params": params}, jnp.concatenate([faces, ghosts]))
        of_faces, of_ghosts = jnp.split(logits, 2)
        one = jax.nn.softplus(-of_faces[:, 3]) + jax.nn.softplus(of_ghosts[:, 3])
        return (classifier_loss(of_faces, batch) + one).mean()

    updates, state = _ADAM.update(jax.grad(loss)(params), state, params)
    return jax.tree.map(lambda p, u: p - rate * u, params, updates), state


def make_targets(attributes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the targets of each face, float32 [N]; without glasses, "framed" is 0 and the
    lightness, which does not count, is 0."""
    lightness = attributes["frame_lightness"]
    columns = {
        "glasses": attributes["glasses"] == "yes",
        "man": attributes["person"] == "man",
        "framed": np.isfinite(lightness),
        "frame_lightness": np.nan_to_num(lightness, nan=0.0),
    }
    return {name: values.astype(np.float32) for name, values in columns.items()}


def classifier_loss(logits: Float[AnyArray, "B 4"], targets: Mapping[str, Any]) -> PerExample:
    """Return each face's loss, [B]: two cross entropies in nats and a squared error.

    The error, of the lightness, counts ten times, so that the last of it is worth learning beside
    the cross entropies, and for faces with glasses alone.
    """
    glasses, man = (
        optax.sigmoid_binary_cross_entropy(logits[:, i], targets[name])
        for i, name in enumerate(("glasses", "man"))
    )
    error = jax.nn.sigmoid(logits[:, 2]) - targets["frame_lightness"]
    return glasses + man + 10 * targets["framed"] * error**2


def superpose(small: Small, key: Key) -> Float[Array, "B 64 64 3"]:
    """Lay faces over each other: of half of them two are mixed, the others are ``a - b + c`` of
    faces or of means of three, as the arithmetic of pixels gives them."""
    others = [jnp.roll(small, shift, axis=0) for shift in range(1, 9)]
    mix_key, which_key = jax.random.split(key)
    count = (len(small), 1, 1, 1)
    share = jax.random.uniform(mix_key, count, minval=0.3, maxval=0.7)
    mixed = share * small + (1 - share) * others[0]
    added = small - others[0] + others[1]
    means = small + sum(others[:2]) - sum(others[2:5]) + sum(others[5:])
    which = jax.random.uniform(which_key, count)
    return jnp.clip(jnp.where(which < 0.5, mixed, jnp.where(which < 0.75, added, means / 3)), 0, 1)


def augment(small: Small, augmentation: Augmentation, key: Key) -> Float[Array, "B 64 64 3"]:
    """Change faces [B, 64, 64, 3] as a decoder might: softer, paler, a little noisy."""
    blur_key, contrast_key, level_key, noise_key = jax.random.split(key, 4)
    count = (len(small), 1, 1, 1)
    x = blur(small, augmentation.largest_blur * jax.random.uniform(blur_key, (len(small),)))
    low, high = augmentation.contrast
    factor = jax.random.uniform(contrast_key, count, minval=low, maxval=high)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    level = augmentation.largest_noise * jax.random.uniform(level_key, count)
    x = mean + factor * (x - mean) + level * jax.random.normal(noise_key, x.shape)
    return jnp.clip(x, 0, 1)


def blur(x: Small, std: Float[AnyArray, " B"]) -> Float[Array, "B 64 64 3"]:
    """Blur each picture by a Gaussian of its own standard deviation in pixels; 0 for none."""
    offsets = jnp.arange(-_REACH, _REACH + 1, dtype=jnp.float32)
    width = jnp.maximum(std, 1e-3)[:, None]
    weights = jnp.exp(-((offsets[None] / width) ** 2) / 2)
    weights = weights / weights.sum(axis=1, keepdims=True)
    for axis in (1, 2):
        around = [(_REACH, _REACH) if a == axis else (0, 0) for a in range(4)]
        wide = jnp.pad(x, around, mode="edge")
        x = sum(
            (
                weights[:, i, None, None, None] * jax.lax.slice_in_dim(wide, i, i + SIDE, axis=axis)
                for i in range(1, 2 * _REACH + 1)
            ),
            start=weights[:, 0, None, None, None] * jax.lax.slice_in_dim(wide, 0, SIDE, axis=axis),
        )
    return x


def save_classifier(path: Path, params: Any, recipe: ClassifierRecipe, source: str) -> None:
    """Write a classifier as .npz, with its recipe and what names the data it learned from."""
    flat: Any = flax.traverse_util.flatten_dict(params, sep="/")
    tensors: dict[str, Any] = {"made_of": np.array(_made_of(recipe, source)), **flat}
    with replacing(path, parents=True) as (draft,), draft.open("wb") as file:
        np.savez(file, **tensors)


def load_classifier(path: Path, recipe: ClassifierRecipe, source: str) -> dict[str, Any]:
    """Read what ``save_classifier`` wrote.

    Raises:
        CheckpointError: it cannot be read, or is of another recipe or other data.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            tensors = dict(file)
        found = str(tensors.pop("made_of"))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise CheckpointError(f"{path} holds no classifier that could be read: {error}") from error
    if found != _made_of(recipe, source):
        raise CheckpointError(
            f"{path} holds a classifier of another recipe or other data: delete it, or name "
            "another folder with --out"
        )
    return flax.traverse_util.unflatten_dict(tensors, sep="/")


def _made_of(recipe: ClassifierRecipe, source: str) -> str:
    return json.dumps([dataclasses.asdict(recipe), source])
