"""The port's observations beside what they should be: one row a stage and tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from vae_jax.errors import UserError
from vae_jax.parity.backends import Backend, Value
from vae_jax.parity.layers import layer_of
from vae_jax.parity.observe import Observation, Plan, observe
from vae_jax.parity.precision import Precision
from vae_jax.parity.recording import LENGTH, PROJECTIONS, Expected
from vae_jax.parity.report import Row, floored
from vae_jax.parity.stages import Kind, Phase, Stage
from vae_jax.parity.tolerances import Tolerances

_GROSS = 0.1  # no branch of a ReLU changes a batch by so much


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
    expected: Value,
    found: Value,
    dtype: DTypeLike,
    *,
    scale: float | None = None,
    rms_of: int | None = None,
) -> Distance:
    """Return how far two arrays of one shape are apart; NaN in either makes all four NaN.

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
    """Return several distances of one tensor as one: the largest, and the root mean square."""
    found = list(distances)
    largest = [float(np.max([d[i] for d in found])) for i in (0, 1, 3)]  # NaN stays
    rms = math.hypot(*(d.rms for d in found)) / math.sqrt(len(found))  # squares overflow
    return Distance(largest[0], largest[1], rms, largest[2])


def live(truth: Backend, reference: Backend | None, plan: Plan) -> Iterator[Expected]:
    """Yield what live references compute.

    Args:
        truth: the reference in float64.
        reference: the reference in the precision under test; None where that is float64.
        plan: what both are given.
    """
    if reference is None:
        for stage, step, tensors in observe(truth, plan):
            yield Expected(stage, step, tensors, None)
        return
    for exact, own in zip(observe(truth, plan), observe(reference, plan), strict=True):
        scales = scales_of(exact.stage, exact.tensors, plan.zero_gradient_tensors)
        errors = {
            name: distance(value, own.tensors[name], np.float64, scale=scales.get(name)).rms
            for name, value in exact.tensors.items()
        }
        yield Expected(exact.stage, exact.step, exact.tensors, errors)


_Key = tuple[Stage, bool, str]  # stage, whether a zero-gradient tensor, name


class _Series(NamedTuple):
    """The measurements that a row is made of."""

    steps: list[int]
    distances: list[Distance]
    reference_errors: list[float]


def compare(
    expected: Iterator[Expected],
    found: Iterator[Observation],
    precision: Precision,
    tolerances: Tolerances,
    zero_gradient_tensors: Sequence[str] = (),
    *,
    digested: bool = False,
    stop_early: bool = False,
) -> list[Row]:
    """Return rows in the order of the observations; several steps of a tensor are one row.

    Args:
        expected: what the observations should be.
        found: the port's, in the same order.
        precision: that of the port.
        tolerances: by kind of tensor.
        zero_gradient_tensors: names that are reported apart where gradients matter.
        digested: whether both have digests for values.
        stop_early: stop after the first observation over its tolerance.

    Raises:
        UserError: the two have different stages, as one whose optimiser has other moments.
    """
    kept: dict[_Key, _Series] = {}

    def row(key: _Key) -> Row:
        return _row(key, kept[key], precision, tolerances)

    for truth, own in itertools.zip_longest(expected, found):
        if truth is None or own is None or truth[:2] != own[:2]:
            stages = [f"{each.stage.value!r}" if each else "nothing more" for each in (truth, own)]
            raise UserError(f"expected {stages[0]}, the port gives {stages[1]}: give both the same")
        scales = scales_of(truth.stage, truth.values, zero_gradient_tensors)
        touched = []
        for name in [*truth.values, *(n for n in own.tensors if n not in truth.values)]:
            apart = truth.stage.follows_gradients and name in zero_gradient_tensors
            touched.append((truth.stage, apart, name))
            series = kept.setdefault(touched[-1], _Series([], [], []))
            series.steps.append(truth.step)
            pair = truth.values.get(name), own.tensors.get(name)
            series.distances.append(_distance(*pair, precision, scales.get(name), digested))
            if truth.reference_errors is not None:
                series.reference_errors.append(truth.reference_errors.get(name, 0.0))
        if stop_early and not all(row(key).passed for key in touched):
            break
    return [row(key) for key in kept]


def scales_of(
    stage: Stage, tensors: Mapping[str, Value], zero_gradient_tensors: Sequence[str]
) -> dict[str, float]:
    """Return the scale of each zero-gradient tensor: the magnitude of its layer's weight.

    In gradients and moments the tensor's own magnitude is that of rounding noise.
    """
    if not stage.has_scale_of_gradients:
        return {}
    weights = {layer_of(n): n for n in tensors if n.endswith(".weight")}
    return {
        name: float(np.abs(np.asarray(tensors[weights[layer_of(name)]])).max())
        for name in zero_gradient_tensors
        if name in tensors and layer_of(name) in weights
    }


def _distance(
    expected: Value | None,
    found: Value | None,
    precision: Precision,
    scale: float | None,
    digested: bool,
) -> Distance:
    """Return the distance: infinite where one is missing, or of another shape."""
    if expected is None or found is None or np.shape(expected) != np.shape(found):
        return Distance(np.inf, np.inf, np.inf, np.inf)
    rms_of, expected = None, np.asarray(expected)
    if digested and expected.size == LENGTH:
        rms_of, scale = PROJECTIONS, scale or float(expected[-1])  # the largest magnitude
    return distance(expected, found, precision.dtype, scale=scale, rms_of=rms_of)


def _row(key: _Key, series: _Series, precision: Precision, tolerances: Tolerances) -> Row:
    (stage, zero_gradient, tensor), whole = key, together(series.distances)
    reference_error = ratio = None
    if series.reference_errors and not stage.never_rounds:
        errors = [d.rms for d in series.distances]
        reference_error = math.hypot(*series.reference_errors)
        reference_error /= math.sqrt(len(series.reference_errors))
        if stage.follows_gradients and np.max(errors) <= _GROSS:
            # Medians: where a ReLU's input is within rounding of zero, port or reference may take
            # another branch than the truth, which changes one batch's gradients by far more than
            # rounding.
            reference_error = float(np.median(series.reference_errors))
            whole = whole._replace(rms=float(np.median(errors)))
        ratio = whole.rms / floored(reference_error)
        if stage.kind is Kind.LOSSES:  # the worst of the run
            reference_error = max(series.reference_errors)
            whole = whole._replace(rms=float(np.max(errors)))
            ratio = whole.rms / max(reference_error, tolerances.losses_floor)
    return Row(
        stage,
        tensor,
        **whole._asdict(),
        tolerance=tolerances.of(stage, zero_gradient=zero_gradient, by_ratio=ratio is not None),
        reference_error=reference_error,
        error_ratio=ratio,
        by_step=_by_step(series) if stage.phase is Phase.RUN else (),
        zero_gradient=zero_gradient,
    )


def _by_step(series: _Series) -> tuple[tuple[int, float, float | None], ...]:
    if not series.reference_errors:
        return tuple((s, d.relative, None) for s, d in zip(*series[:2], strict=True))
    return tuple((s, d.rms, own) for s, d, own in zip(*series, strict=True))
