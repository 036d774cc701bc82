"""Sums over devices that share a batch, for programs that see only one device's part of it.

Under ``jit`` a program sees the whole batch, however many devices hold it: ``axis_name`` is None,
and no function here communicates. Under ``pmap`` a program sees one device's examples, and sums
over the batch (gradients, metrics, the statistics of batch normalisation) continue over the
devices of the named axis.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import TypeVar, cast

import jax  # many of its functions have no full hints

Tree = TypeVar("Tree")


def axis_size(axis_name: str | None) -> int:
    """Return the number of devices that share the batch."""
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def psum(tree: Tree, axis_name: str | None) -> Tree:
    """Return the sum of every leaf over the devices."""
    return tree if axis_name is None else cast(Tree, jax.lax.psum(tree, axis_name))


def shard(rows: jax.Array, axis_name: str | None) -> jax.Array:
    """Return this device's part of an array with one row per example of the whole batch."""
    if axis_name is None:
        return rows
    size = rows.shape[0] // axis_size(axis_name)
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(axis_name) * size, size)
