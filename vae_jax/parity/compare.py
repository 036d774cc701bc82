"""A port's observations beside what they should be: one row a stage and tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from vae_jax.errors import UserError
from vae_jax.parity.backends import Backend
from vae_jax.parity.digest import LENGTH, PROJECTIONS
from vae_jax.parity.layers import layer_of
from vae_jax.parity.measure import Distance, distance, together
from vae_jax.parity.precision import Precision
from vae_jax.parity.report import Row, yardstick
from vae_jax.parity.stages import Observation, Plan, observe
from vae_jax.parity.tolerances import NOISE_FED, Tolerances, is_run, never_rounds

_BEHIND_GRADIENTS = ("gradients", "weights", "exp_avg", "statistics")
_GROSS = 0.1  # no branch of a ReLU changes a batch by so much
_LAYERWISE = ("structure", "read-back", "activations", "posterior", "outputs", "optimiser")


class Expected(NamedTuple):
    """What an observation should be.

    Attributes:
        stage: as the observation's.
        step: as the observation's.
        values: the truth by name: the reference's own numbers in float64, or of a recording
            their digests.
        strays: the reference's own distance from it in the precision under test, root mean square
            by the scale; None where the precision is the truth's.
    """

    stage: str
    step: int
    values: Mapping[str, Any]
    strays: Mapping[str, float] | None


def live(
    truth: Backend, reference: Backend | None, plan: Plan, noise_fed: tuple[str, ...]
) -> Iterator[Expected]:
    """What live references compute: ``truth`` in float64, and ``reference`` in the precision under
    test where that is another."""
    if reference is None:
        for stage, step, tensors in observe(truth, plan):
            yield Expected(stage, step, tensors, None)
        return
    for exact, own in zip(observe(truth, plan), observe(reference, plan), strict=True):
        scales = scales_of(exact.stage, exact.tensors, noise_fed)
        strays = {
            name: distance(value, own.tensors[name], np.float64, scale=scales.get(name)).rms
            for name, value in exact.tensors.items()
        }
        yield Expected(exact.stage, exact.step, exact.tensors, strays)


def compare(
    expected: Iterator[Expected],
    found: Iterator[Observation],
    precision: Precision,
    tolerances: Tolerances,
    noise_fed: tuple[str, ...] = (),
    *,
    digested: bool = False,
    stop_early: bool = False,
) -> list[Row]:
    """Rows in the order of the observations; what was measured at several steps is one row.

    Args:
        expected: what the observations should be.
        found: the port's, in the same order.
        precision: that of the port.
        tolerances: by stage.
        noise_fed: names that get stages of their own.
        digested: whether both have digests (``digest.py``) for values.
        stop_early: stop after the first observation over its tolerance.

    Raises:
        UserError: the two have different stages, as one whose optimiser has other moments.
    """
    kept: dict[tuple[str, str], _Series] = {}

    def row(key: tuple[str, str]) -> Row:
        return _row(key, kept[key], precision, tolerances)

    for truth, own in itertools.zip_longest(expected, found):
        if truth is None or own is None or truth[:2] != own[:2]:
            stages = [f"{each.stage!r}" if each else "nothing more" for each in (truth, own)]
            raise UserError(f"expected {stages[0]}, the port gives {stages[1]}: give both the same")
        scales = scales_of(truth.stage, truth.values, noise_fed)
        touched = []
        for name in [*truth.values, *(n for n in own.tensors if n not in truth.values)]:
            fed = name in noise_fed and not truth.stage.startswith(_LAYERWISE)
            touched.append((f"{truth.stage}, {NOISE_FED}" if fed else truth.stage, name))
            series = kept.setdefault(touched[-1], _Series([], [], []))
            series.steps.append(truth.step)
            pair = truth.values.get(name), own.tensors.get(name)
            series.distances.append(_distance(*pair, precision, scales.get(name), digested))
            if truth.strays is not None:
                series.strays.append(truth.strays.get(name, 0.0))
        if stop_early and not all(row(key).passed for key in touched):
            break
    return [row(key) for key in kept]


def scales_of(
    stage: str, tensors: Mapping[str, Any], noise_fed: tuple[str, ...]
) -> dict[str, float]:
    """For each noise-fed bias the magnitude of its layer's weight, in gradients and moments: its
    own is that of rounding noise."""
    if not stage.startswith(("gradients", "exp_avg")):
        return {}
    weights = {layer_of(n): n for n in tensors if n.endswith(".weight")}
    return {
        name: float(np.abs(np.asarray(tensors[weights[layer_of(name)]])).max())
        for name in noise_fed
        if name in tensors and layer_of(name) in weights
    }


class _Series(NamedTuple):
    steps: list[int]
    distances: list[Distance]
    strays: list[float]


def _distance(
    expected: Any, found: Any, precision: Precision, scale: float | None, digested: bool
) -> Distance:
    """Infinite where one is missing, or of another shape."""
    if expected is None or found is None or np.shape(expected) != np.shape(found):
        return Distance(np.inf, np.inf, np.inf, np.inf)
    rms_of = None
    if digested and np.size(expected) == LENGTH:
        rms_of, scale = PROJECTIONS, scale or float(expected[-1])  # the largest magnitude
    return distance(expected, found, precision.dtype, scale=scale, rms_of=rms_of)


def _row(
    key: tuple[str, str], series: _Series, precision: Precision, tolerances: Tolerances
) -> Row:
    (stage, tensor), whole = key, together(series.distances)
    stray = k = None
    if series.strays and not never_rounds(stage):
        errors, stray = [d.rms for d in series.distances], math.hypot(*series.strays)
        stray /= math.sqrt(len(series.strays))
        if stage.startswith(_BEHIND_GRADIENTS) and np.max(errors) <= _GROSS:
            # Medians: where a ReLU's input is within rounding of zero, port or reference may take
            # another branch than the truth, which changes one batch's gradients by far more than
            # rounding.
            stray = float(np.median(series.strays))
            whole = whole._replace(rms=float(np.median(errors)))
        k = whole.rms / yardstick(stray)
        if stage == "losses":  # the worst of the run
            stray, whole = max(series.strays), whole._replace(rms=float(np.max(errors)))
            k = whole.rms / max(stray, tolerances.losses_floor)
    budget = tolerances.of(stage, k is not None)
    by_step = _by_step(series) if is_run(stage) else ()
    numbers = (whole.max_abs, whole.relative, whole.ulps, whole.rms)
    return Row(stage, tensor, *numbers, budget, stray, k, by_step)


def _by_step(series: _Series) -> tuple[tuple[int, float, float | None], ...]:
    if not series.strays:
        return tuple((s, d.relative, None) for s, d in zip(*series[:2], strict=True))
    return tuple((s, d.rms, own) for s, d, own in zip(*series, strict=True))
