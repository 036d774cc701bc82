"""The attribute classifier: a small convolutional network that predicts what a face shows.

Whether "man with glasses - woman with glasses + woman without" is a man without glasses
(tutorial 002, section 7.4.4) is decided there by eye, on one example. With faces whose attributes
are known exactly (``vae_jax.data.faces``) a network can learn to see them, and look at thousands.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import DataError
from vae_jax.typing import AnyArray, Array, Float, Image, Pixels

SIDE = 64
"""Pixels of a side of what the classifier is given."""
ATTRIBUTES = ("glasses", "person", "frame_lightness")
Predictions = dict[str, np.ndarray]
"""Predictions for N pictures: "glasses", "man" and "one", probabilities [N], the last that
it is one face and not several laid over each other; "frame_lightness" [N] in [0, 1], which means
nothing where there are no glasses."""
_CHUNK = 64


class Classifier(nn.Module):
    """Four convolutions of stride 2, 64 -> 4, and two dense layers; 0.15 million parameters."""

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B 64 64 3"]) -> Float[Array, "B 4"]:
        """Return four logits: glasses, a man, the frame's lightness, one face."""
        x = x - 0.5
        for width in (16, 32, 64, 64):
            x = nn.relu(nn.Conv(width, (3, 3), strides=(2, 2))(x))
        x = nn.relu(nn.Dense(64)(x.reshape(x.shape[0], -1)))
        return nn.Dense(4)(x)


def shrink(images: Image | Pixels) -> Float[np.ndarray, "N 64 64 3"]:
    """Average pictures over squares to 64 x 64, in [0, 1]: 4 x 4 of a face of 256 x 256.

    Hair, beard, glasses and the colour of their frame are larger than that; what is finer, decoders
    blur, and a classifier that relied on it would fail on their pictures. It is also 16 times less
    work.

    Args:
        images: [N, H, H, 3] in [0, 1], or bytes; H a multiple of 64. A memory map is read in parts.

    Raises:
        DataError: they are of another shape.
    """
    require_faces(images.shape[1:])
    parts = [
        _averaged(images[i : i + _CHUNK], images.shape[1] // SIDE)
        for i in range(0, len(images), _CHUNK)
    ]
    return np.concatenate([np.zeros((0, SIDE, SIDE, 3), np.float32), *parts])


def require_faces(image_shape: tuple[int, ...]) -> None:
    """Raise DataError unless pictures of a shape (height, width, channels) can be classified."""
    height, width, channels = image_shape
    if height != width or height % SIDE or channels != 3:
        raise DataError(
            f"pictures of {height}x{width}x{channels} cannot be classified: expected faces in "
            f"colour, square, the side a multiple of {SIDE} (face_vae has 256x256x3)"
        )


def require_attributes(attributes: Mapping[str, np.ndarray], source: str) -> None:
    """Raise DataError unless data have the attributes that are classified."""
    missing = [name for name in ATTRIBUTES if name not in attributes]
    if missing:
        raise DataError(
            f"{source} has no attribute {', '.join(missing)}: expected the faces that come with "
            "the package (--data faces), or a folder with an attributes.csv that has them"
        )


def classify(params: Any, images: Image | Pixels) -> Predictions:
    """Predict what pictures show.

    Args:
        params: of ``train_classifier``.
        images: as for ``shrink``.

    Returns:
        "glasses", "man" and "one": probabilities [N]; "frame_lightness": [N], 0 black to 1 white.
    """
    small = shrink(images)
    parts = [np.zeros((0, 4), np.float32)]
    for begin in range(0, len(small), _CHUNK):
        part = small[begin : begin + _CHUNK]
        # Always whole chunks: the last one needs no program of its own.
        padded = np.pad(part, [(0, _CHUNK - len(part)), (0, 0), (0, 0), (0, 0)])
        parts.append(np.asarray(_probabilities(params, padded))[: len(part)])
    columns = np.concatenate(parts).T
    return dict(zip(("glasses", "man", "frame_lightness", "one"), columns, strict=True))


def accuracy(predictions: Predictions, attributes: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compare predictions with the attributes of known faces.

    Args:
        predictions: for N pictures.
        attributes: columns [N] "glasses", "person" and "frame_lightness".

    Returns:
        "glasses" and "person": the shares predicted rightly; "one": the share seen as one face;
        "frame_lightness": the mean absolute error over the faces with glasses (NaN if there is
        none).
    """
    known = attributes["frame_lightness"]
    framed = np.isfinite(known)
    errors = np.abs(predictions["frame_lightness"][framed] - known[framed])
    return {
        "glasses": _agreement(predictions["glasses"], attributes["glasses"] == "yes"),
        "person": _agreement(predictions["man"], attributes["person"] == "man"),
        "one": float(np.mean(predictions["one"] > 0.5)),
        "frame_lightness": float(errors.mean()) if len(errors) else float("nan"),
    }


def _agreement(probability: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean((probability > 0.5) == truth))


@jax.jit
def _probabilities(params: Any, small: Any) -> jax.Array:
    return nn.sigmoid(Classifier().apply({"params": params}, small))  # type: ignore[arg-type]


@partial(jax.jit, static_argnums=1)
def _average(images: Any, factor: int) -> jax.Array:
    scale = 255 if images.dtype == jnp.uint8 else 1
    squares = images.astype(jnp.float32).reshape(len(images), SIDE, factor, SIDE, factor, 3)
    return squares.mean(axis=(2, 4)) / scale


def _averaged(images: Any, factor: int) -> np.ndarray:
    return np.asarray(_average(np.asarray(images), factor))
