"""The plain containers in a file, whose items can be anything: tests of a value's exact type."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeGuard, TypeVar, no_type_check

import numpy as np

_Function = TypeVar("_Function", bound=Callable[..., object])

PlainDict = dict[object, object]


def unchecked(function: _Function) -> _Function:
    """Leave a function out of the tests' run-time checks, which are slow; keep its types."""
    return no_type_check(function)


@unchecked
def is_dict(value: object) -> TypeGuard[PlainDict]:
    """Return whether a value is a dict."""
    return type(value) is dict


@unchecked
def is_list(value: object) -> TypeGuard[list[object]]:
    """Return whether a value is a list."""
    return type(value) is list


@unchecked
def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Return whether a value is a tuple."""
    return type(value) is tuple


@unchecked
def is_set(value: object) -> TypeGuard[set[object]]:
    """Return whether a value is a set."""
    return type(value) is set


def is_array(value: object) -> TypeGuard[np.ndarray]:
    """Return whether a value is an array."""
    return isinstance(value, np.ndarray)


@unchecked
def is_size(value: object) -> TypeGuard[int]:
    """Return whether a value is an integer from 0 to 2**62."""
    return type(value) is int and 0 <= value < 1 << 62


def are_sizes(values: tuple[object, ...]) -> TypeGuard[tuple[int, ...]]:
    """Return whether all values are integers from 0 to 2**62."""
    return all(map(is_size, values))


def items_of(value: object) -> Iterable[tuple[object, object]]:
    """Return a dict's keys or a list's positions, with the values; nothing of any other value."""
    if is_dict(value):
        return value.items()
    return enumerate(value) if is_list(value) else ()
