"""The frameworks' initial distributions of dense layers, convolutions and transposed convolutions.

Sources: ``reset_parameters`` of ``torch.nn.Linear`` and ``torch.nn.modules.conv._ConvNd`` (Kaiming
uniform with a = sqrt(5), which is uniform within 1/sqrt(fan_in), for both weight and bias);
Paddle's ``nn.layer.conv``; the code that tutorial 003 links.

A fan is the number of input or output channels times the kernel's area. For a transposed
convolution ``fan_in`` counts the *output* channels, as in PyTorch, whose weight swaps these axes.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax  # many of its functions have no full hints
import jax.numpy as jnp
from jax.nn.initializers import Initializer, normal, truncated_normal, zeros
from jax.typing import DTypeLike

from vae_jax.typing import Key


class Initialization(NamedTuple):
    """The initializers of a layer's kernel and bias, as functions of ``fan_in`` and ``fan_out``."""

    kernel: Callable[[int, int], Initializer]
    bias: Callable[[int, int], Initializer]


def uniform_within(bound: float) -> Initializer:
    """Return an initializer that is uniform from ``-bound`` to ``bound``."""

    def init(
        key: Key,
        shape: Sequence[int],
        dtype: DTypeLike | None = jnp.float32,
        out_sharding: object = None,
    ) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _torch(fan_in: int, fan_out: int) -> Initializer:
    return uniform_within(fan_in**-0.5)


def _he(fan_in: int, fan_out: int) -> Initializer:
    return normal((2 / fan_in) ** 0.5)


def _glorot(fan_in: int, fan_out: int) -> Initializer:
    return uniform_within((6 / (fan_in + fan_out)) ** 0.5)


def _always(initializer: Initializer) -> Callable[[int, int], Initializer]:
    return lambda fan_in, fan_out: initializer


_zero = _always(zeros)

TORCH = Initialization(_torch, _torch)
"""PyTorch's uniform distribution, for all three kinds of layer."""

PADDLE_CONV = Initialization(_he, _zero)
"""Paddle's ``Conv2D``: He's normal distribution."""

PADDLE_CONV_TRANSPOSE = Initialization(_glorot, _zero)
"""Paddle's ``Conv2DTranspose``: Glorot's uniform distribution."""

TENSORFLOW_CONV = Initialization(_always(truncated_normal(0.02)), _zero)
"""Tutorial 003: normal with std 0.02, truncated at two standard deviations."""

TENSORFLOW_DENSE = Initialization(_always(normal(0.02)), _zero)
"""Tutorial 003: normal with std 0.02."""
