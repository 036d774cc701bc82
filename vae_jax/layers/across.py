"""What a step must know of the devices that share its batch, while it is traced.

Under ``jit`` a program sees the whole batch, whatever devices hold it, and there is nothing to do.
Under ``pmap`` it sees the examples of one device, and what is summed over the batch (gradients,
metrics, the statistics of batch normalisation) is then summed over the named axis of devices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax

_axis: str | None = None
_groups = 1


@contextlib.contextmanager
def axis(name: str | None) -> Iterator[None]:
    """Inside, whatever is traced sees one device's part of the batch, on this axis."""
    global _axis
    before, _axis = _axis, name
    try:
        yield
    finally:
        _axis = before


@contextlib.contextmanager
def batch_norm_groups(count: int) -> Iterator[None]:
    """Inside, batch normalisation takes its statistics over each of so many parts of a batch."""
    global _groups
    before, _groups = _groups, count
    try:
        yield
    finally:
        _groups = before


def num_devices() -> int:
    """How many programs share the batch."""
    return 1 if _axis is None else jax.lax.axis_size(_axis)


def total(tree: Any) -> Any:
    """The sum of every leaf over the programs."""
    return tree if _axis is None else jax.lax.psum(tree, _axis)


def mine(rows: Any) -> Any:
    """This program's part of what holds a row for each example of the whole batch."""
    if _axis is None:
        return rows
    size = rows.shape[0] // num_devices()
    return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(_axis) * size, size)


def batch_norm_is_grouped() -> bool:
    """Whether batch normalisation takes each group's statistics, not those of the whole batch."""
    return _groups > 1


def groups_here() -> int:
    """How many groups this program has; ``training/parallel.py`` sees that they are whole ones."""
    return _groups // num_devices()
