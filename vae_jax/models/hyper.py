"""Checks and conversions of hyperparameters, given as Python values, JSON or text."""

from __future__ import annotations

import math
import numbers
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import SupportsFloat, cast

from vae_jax.errors import UserError, did_you_mean
from vae_jax.spec import ModelSpec


def parse_hyperparameters(spec: ModelSpec, hyper: Mapping[str, object]) -> dict[str, object]:
    """Convert hyperparameters to the values that the model's module takes.

    Args:
        spec: the model's specification.
        hyper: values by name; sizes that belong together may be tuples, lists or text such as
            ``32,64`` or ``64x48x3``.

    Raises:
        UserError: the model does not have a hyperparameter, or cannot take its value.
    """
    known = spec.hyperparameters()
    types = typing.get_type_hints(spec.module)
    values: dict[str, object] = {}
    for key, value in hyper.items():
        if key not in known:
            hint = did_you_mean(key, known) if known else "it has none"
            raise UserError(f"{spec.name} has no hyperparameter {key!r}; {hint}")
        convert, expected = _converter(types[key])
        try:
            values[key] = convert(value)
        except (TypeError, ValueError, OverflowError):
            raise UserError(
                f"{spec.name}'s {key} is {value!r}; expected {expected}, such as its default "
                f"{format_hyperparameter(known[key])}"
            ) from None
    return values


def format_hyperparameter(value: object) -> str:
    """Format a hyperparameter's value as the command line takes it."""
    parts = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    return ",".join(map(str, parts))


def _converter(kind: object) -> tuple[Callable[[object], object], str]:
    """Return the function that converts values to a field's type, and what it expects."""
    if kind is int:
        return _whole, "a whole number above 0"
    if kind is float:
        return _positive, "a number above 0"
    if kind is bool:
        return _switch, "true or false"
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if arguments[-1] is Ellipsis:
            return lambda v: _wholes(v, None), "whole numbers above 0 with commas between"
        count = len(arguments)
        return lambda v: _wholes(v, count), f"{count} whole numbers above 0"
    return lambda v: _choice(v, arguments), " or ".join(arguments)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError
    return int(value)


def _positive(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | SupportsFloat):
        raise ValueError
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError
    return number


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() not in ("true", "false", "1", "0"):
        raise ValueError
    return str(value).lower() in ("true", "1")


def _wholes(value: object, count: int | None) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [int(part) for part in value.replace("x", ",").split(",")]
    elif isinstance(value, numbers.Integral):
        value = [value]
    sizes = tuple(_whole(size) for size in cast(Iterable[object], value))
    if len(sizes) != (count or len(sizes)) or not sizes:
        raise ValueError
    return sizes


def _choice(value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError
    return value
