"""Checksums of a state's arrays, the same on any number of devices.

Orbax compresses arrays and does not check them: of 80 single bits flipped in a file of values, 79
came back as other numbers, without an error. The checksum is the sum of an array's 32-bit words,
each times an odd number given by its position, modulo 2**32, so changing any one word changes it.
Because it is a sum, devices that hold parts of an array only add up their own.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import jax  # many of its functions have no full hints
import jax.numpy as jnp
import numpy as np

from vae_jax.training.state import named_leaves
from vae_jax.typing import AnyArray, Tree


def checksum_of(state: Tree) -> dict[str, int]:
    """Return the checksum of every leaf, by path; float64 and int64 leaves must be NumPy arrays."""
    leaves = named_leaves(state, "/")
    sums = jax.device_get(_sums([_words(leaf) for leaf in leaves.values()]))
    return {path: int(total) for path, total in zip(leaves, sums, strict=True)}


def differing(state: Tree, checksums: dict[str, int]) -> list[str]:
    """Return the paths of the leaves whose checksum is not the given one."""
    found = checksum_of(state)
    return [path for path in found if checksums.get(path) != found[path]]


def _words(leaf: AnyArray) -> AnyArray:
    if isinstance(leaf, np.ndarray):
        return np.ascontiguousarray(leaf).reshape(-1).view(np.uint32)
    return leaf


@jax.jit
def _sums(leaves: list[jax.Array]) -> list[jax.Array]:
    return [_sum(leaf) for leaf in leaves]


def _sum(x: jax.Array) -> jax.Array:
    words = jax.lax.bitcast_convert_type(x, jnp.uint32)
    place, stride = jnp.zeros(words.shape, jnp.uint32), 1
    for axis in reversed(range(words.ndim)):  # not reshape: it would move sharded parts
        place += jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis) * np.uint32(stride)
        stride *= words.shape[axis]
    return (words * (2 * place + np.uint32(1))).sum(dtype=jnp.uint32)
