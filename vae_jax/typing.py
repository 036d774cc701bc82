"""Array types with their shapes: one letter per axis, the same in every signature.

B batch, H height, W width, C channels, L latent size, K classes. With jaxtyping installed these are
checked shapes; without it (a bare accelerator host) they are plain arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from jax import Array
    from jaxtyping import Float, Int, UInt8
else:
    try:
        from jaxtyping import Float, Int, UInt8
    except ImportError:

        class Float:
            """Stands in for jaxtyping's types: ``Float[array_type, shape]`` is ``array_type``."""

            def __class_getitem__(cls, item):
                return item[0]

        Int = UInt8 = Float

    class _JaxArray(type):
        def __instancecheck__(cls, value):
            jax = sys.modules.get("jax")
            return jax is not None and isinstance(value, jax.Array)

    class Array(metaclass=_JaxArray):
        """Stands in for ``jax.Array``, so that plain data loads no JAX.

        Where JAX is not loaded, no value is a JAX array.
        """


AnyArray = Array | np.ndarray

Image = Float[AnyArray, "B H W C"]
"""Images, channels last, in the model's pixel range."""
Latent = Float[AnyArray, "B L"]
"""Points of the latent space."""
Features = Float[AnyArray, "B F"]
"""Flat features of images."""
Noise = Float[AnyArray, "B L"]
"""Standard normal noise, one row per example."""
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

Key = Array
"""A typed PRNG key from ``jax.random.key``; a key is used once."""
Tensors = dict[str, np.ndarray]
"""A checkpoint: the reference's tensor names to arrays."""
Tree = Mapping[str, Any]
"""Arrays in nested mappings, such as a model's parameters."""
Variables = dict[str, Any]
"""A Flax variable tree: ``{"params": ..., "batch_stats": ...}``."""


@runtime_checkable
class Device(Protocol):
    """What is read of a ``jax.Device``, a class without hints."""

    device_kind: str
