"""The judge: a small convolutional network that says what a picture of a face shows.

Whether "man with glasses - woman with glasses + woman without" is a man without glasses
(tutorial 002, section 7.4.4) is judged there by eye, on one example. With faces whose attributes
are known exactly (``vae_jax.data.faces``) a network can learn to see them, and judge thousands.
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
"""Pixels of a side of what the judge sees."""
ATTRIBUTES = ("glasses", "person", "frame_lightness")
Judged = dict[str, np.ndarray]
"""What the judge sees in N pictures: "glasses", "man" and "one", probabilities [N], the last that
it is one face and not several laid over each other; "frame_lightness" [N] in [0, 1], which means
nothing where there are no glasses."""
_CHUNK = 64


class Classifier(nn.Module):
    """Four convolutions of stride 2, 64 -> 4, and two dense layers; 0.15 million parameters."""

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B 64 64 3"]) -> Float[Array, "B 4"]:
        """Four logits of pictures in [0, 1]: glasses, a man, the frame's lightness, one face."""
        x = x - 0.5
        for width in (16, 32, 64, 64):
            x = nn.relu(nn.Conv(width, (3, 3), strides=(2, 2))(x))
        x = nn.relu(nn.Dense(64)(x.reshape(x.shape[0], -1)))
        return nn.Dense(4)(x)


def shrink(images: Image | Pixels) -> Float[np.ndarray, "N 64 64 3"]:
    """Pictures averaged over squares to 64 x 64, in [0, 1]: 4 x 4 of a face of 256 x 256.

    Hair, beard, glasses and the colour of their frame are larger than that; what is finer, decoders
    blur, and a judge that relied on it would not know their pictures. It is 16 times less work too.

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
    """Raises DataError unless pictures of a shape (height, width, channels) can be judged."""
    height, width, channels = image_shape
    if height != width or height % SIDE or channels != 3:
        raise DataError(
            f"pictures of {height}x{width}x{channels} cannot be judged: expected faces in colour, "
            f"square, the side a multiple of {SIDE} (face_vae has 256x256x3)"
        )


def require_attributes(attributes: Mapping[str, np.ndarray], source: str) -> None:
    """Raises DataError unless data have the attributes that are judged."""
    missing = [name for name in ATTRIBUTES if name not in attributes]
    if missing:
        raise DataError(
            f"{source} has no attribute {', '.join(missing)}: expected the faces that come with "
            "the package (--data faces), or a folder with an attributes.csv that has them"
        )


def judge(params: Any, images: Image | Pixels) -> Judged:
    """What the judge sees in pictures.

    Args:
        params: of ``train_classifier``.
        images: as for ``shrink``.

    Returns:
        "glasses", "man" and "one": probabilities [N]; "frame_lightness": [N], 0 black to 1 white.
    """
    return judge_small(params, shrink(images))


def judge_small(params: Any, small: Float[np.ndarray, "N 64 64 3"]) -> Judged:
    """As ``judge``, of pictures that ``shrink`` has averaged already."""
    parts = [np.zeros((0, 4), np.float32)]
    for begin in range(0, len(small), _CHUNK):
        part = small[begin : begin + _CHUNK]
        # Always whole chunks, so that nothing is compiled anew for the last one.
        padded = np.pad(part, [(0, _CHUNK - len(part)), (0, 0), (0, 0), (0, 0)])
        parts.append(np.asarray(_seen(params, padded))[: len(part)])
    seen = np.concatenate(parts)
    return dict(zip(("glasses", "man", "frame_lightness", "one"), seen.T, strict=True))


def accuracy(judged: Judged, attributes: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How well the judge sees faces whose attributes are known.

    Args:
        judged: of N pictures.
        attributes: columns [N] "glasses", "person" and "frame_lightness".

    Returns:
        "glasses" and "person": the shares seen rightly; "one": the share seen as one face;
        "frame_lightness": the mean absolute error over the faces with glasses (NaN if there is
        none).
    """
    known = attributes["frame_lightness"]
    framed = np.isfinite(known)
    errors = np.abs(judged["frame_lightness"][framed] - known[framed])
    return {
        "glasses": float(np.mean((judged["glasses"] > 0.5) == (attributes["glasses"] == "yes"))),
        "person": float(np.mean((judged["man"] > 0.5) == (attributes["person"] == "man"))),
        "one": float(np.mean(judged["one"] > 0.5)),
        "frame_lightness": float(errors.mean()) if len(errors) else float("nan"),
    }


@jax.jit
def _seen(params: Any, small: Any) -> jax.Array:
    return nn.sigmoid(Classifier().apply({"params": params}, small))  # type: ignore[arg-type]


@partial(jax.jit, static_argnums=1)
def _average(images: Any, factor: int) -> jax.Array:
    scale = 255 if images.dtype == jnp.uint8 else 1
    squares = images.astype(jnp.float32).reshape(len(images), SIDE, factor, SIDE, factor, 3)
    return squares.mean(axis=(2, 4)) / scale


def _averaged(images: Any, factor: int) -> np.ndarray:
    return np.asarray(_average(np.asarray(images), factor))
