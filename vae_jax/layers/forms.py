"""Which form a layer takes: XLA's own operation, or an equal one that is faster on this device.

XLA on CPU is slow at some convolutions and at some gradients of products, so there the layers
write them another way (``convolve.py``, ``product.py``, each with its measurements). GPUs and TPUs
have libraries and hardware for XLA's own, so there these stay plain. What is written for accuracy
(``sums.py``) is the same everywhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint

from vae_jax.typing import AnyArray

_divided = False
_plain = os.environ.get("VAE_JAX_PLAIN_LAYERS", "0") not in ("", "0")


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Inside, whatever is *traced* takes the plain forms; what is compiled already stays as it is.

    ``VAE_JAX_PLAIN_LAYERS=1`` in the environment does so for the whole process.
    """
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


@contextlib.contextmanager
def divided_arrays() -> Iterator[None]:
    """Inside, what is lowered is for a mesh, where XLA cannot divide ``computed_first``.

    It would gather all windows of a convolution on every device: of ``digits_vae``'s batch 24 to
    6 MB a device and step, where the gradients are 0.5 MB.
    """
    global _divided
    before, _divided = _divided, True
    try:
        yield
    finally:
        _divided = before


def for_cpu() -> bool:
    """Whether to take the forms that are fast on CPU."""
    return not _plain and jax.default_backend() == "cpu"


def computed_first(x: AnyArray) -> jax.Array:
    """``x``, which XLA on CPU then computes before whatever reads it, not within.

    Within a sum or a product, which its library YNNPACK computes, it takes ten times as long at a
    logarithm (78,400 of them: 3.9 ms, and 0.4 ms so), and divides anew for the place of each
    number of a reshaped gather. An ``optimization_barrier`` is gone before XLA decides that.
    """
    x = jnp.asarray(x)
    if _divided or not for_cpu():
        return x
    return with_layout_constraint(x, Layout(major_to_minor=tuple(range(x.ndim))))
