"""The shape vocabulary of the package: one letter an axis, the same in every signature.

B batch, H height, W width, C channels, L latent size, K classes. With jaxtyping installed these are
checked shapes; without it (a bare accelerator host) they are plain arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

try:
    from jaxtyping import Array, Float, Int, UInt8
except ImportError:  # annotations only; nothing at run time depends on the shapes
    if not TYPE_CHECKING:

        class _Plain:
            def __class_getitem__(cls, item):
                return item[0]

        Array = jax.Array
        Float = Int = UInt8 = _Plain

AnyArray = jax.Array | np.ndarray

Image = Float[AnyArray, "B H W C"]
"""Images, channels last, in the model's pixel range."""
Latent = Float[AnyArray, "B L"]
"""Points of the latent space."""
Features = Float[AnyArray, "B F"]
"""Flat features of images."""
Noise = Float[AnyArray, "B L"]
"""Standard normal noise, one row an example."""
OneHot = Float[AnyArray, "B K"]
"""One-hot labels of K classes."""
PerExample = Float[AnyArray, " B"]
"""A loss term before the reduction over the batch."""
Mask = Float[AnyArray, " B"]
"""1 for a real example, 0 for padding of the last batch."""
Pixels = UInt8[np.ndarray, "N H W C"]
"""Images as stored: 0 to 255."""
Labels = Int[np.ndarray, " N"]
"""Class numbers."""

Key = jax.Array
"""A typed PRNG key from ``jax.random.key``; a key is used once."""
Tensors = dict[str, np.ndarray]
"""A checkpoint as the reference names it: tensor name to array."""
Variables = dict[str, Any]
"""A Flax variable tree: ``{"params": ..., "batch_stats": ...}``."""
