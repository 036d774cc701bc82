"""Which form a layer takes: XLA's own operation, or an equal one that is faster on this device.

XLA on CPU is slow at some convolutions and at some gradients of products, so there the layers
write them another way (``convolve.py``, ``product.py``, each with its measurements). GPUs and TPUs
have libraries and hardware for XLA's own, so there the layers stay plain.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import jax

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


def for_cpu() -> bool:
    """Whether to take the forms that are fast on CPU."""
    return not _plain and jax.default_backend() == "cpu"
