"""How far two tensors are apart, in units that mean something."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np


class Distance(NamedTuple):
    """The distance of a tensor from what was expected.

    Attributes:
        max_abs: the largest difference.
        relative: that by the largest magnitude of the expected tensor, its scale.
        rms: the root mean square difference by the scale.
        ulps: the largest difference in units in the last place of the scale.
    """

    max_abs: float
    relative: float
    rms: float
    ulps: float


def distance(
    expected: Any, found: Any, dtype: Any, *, scale: float | None = None, rms_of: int | None = None
) -> Distance:
    """Compares two arrays of one shape; NaN in either makes all four NaN.

    Args:
        expected: the truth.
        found: what is judged.
        dtype: the format whose units in the last place are counted.
        scale: to use instead of the largest magnitude of ``expected``.
        rms_of: how many of the first numbers the root mean square is of; default: all.
    """
    expected = np.asarray(expected, np.float64).reshape(-1)
    difference = np.asarray(found, np.float64).reshape(-1) - expected
    if expected.size == 0:
        return Distance(0.0, 0.0, 0.0, 0.0)
    if scale is None:
        scale = float(np.maximum(expected.max(), -expected.min()))
    max_abs = float(np.maximum(difference.max(), -difference.min()))
    part = difference[:rms_of]
    rms = math.sqrt(float(part @ part) / part.size) if np.isfinite(max_abs) else math.nan
    if max_abs == 0:
        return Distance(0.0, 0.0, 0.0, 0.0)
    unit = float(np.spacing(np.asarray(scale, dtype)))
    scale = max(scale, 1e-300)
    return Distance(max_abs, max_abs / scale, rms / scale, max_abs / unit if unit else math.inf)


def together(distances: Iterable[Distance]) -> Distance:
    """Several distances of one tensor as one: the largest of each, and the root mean square."""
    found = list(distances)
    largest = [float(np.max([d[i] for d in found])) for i in (0, 1, 3)]  # NaN stays
    rms = math.hypot(*(d.rms for d in found)) / math.sqrt(len(found))  # squares overflow
    return Distance(largest[0], largest[1], rms, largest[2])
