"""A parity report as a picture: error by layer and by training step, beside the tolerance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.figures.drawing import new_figure
from vae_jax.parity.layers import INPUT
from vae_jax.parity.report import ZERO_GRADIENT, Report
from vae_jax.parity.stages import Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CURVES = {  # stage -> the label of its curve
    Stage.LOSSES: "losses",
    Stage.RUN_WEIGHTS: "weights",
    Stage.RUN_EXP_AVG: "first moment",
    Stage.RUN_EXP_AVG_SQ: "second moment",
    Stage.RUN_STATISTICS: "running statistics",
}
_WITH_TOLERANCE = (Stage.LOSSES, Stage.RUN_WEIGHTS)  # and zero-gradient tensors
_BY_LAYER = (Stage.ACTIVATIONS, Stage.POSTERIOR_HEADS, Stage.OUTPUTS)
_FLOOR = 1e-18  # where an error of zero is drawn


def parity_figure(reports: Sequence[Report]) -> Figure:
    """Draw a line of two panels for each report.

    Left, the error of each layer's output, in the order of the computation; below float64 the
    reference's own beside it. Right, the worst error of each class of tensors by training step.
    """
    figure = new_figure((13, 4.2 * len(reports)), dpi=100)
    figure.set_layout_engine("constrained")
    axes = figure.subplots(len(reports), 2, squeeze=False)
    for (left, right), report in zip(axes, reports, strict=True):
        _draw_layers(left, report)
        _draw_steps(right, report)
    return figure


def _draw_layers(axes: Axes, report: Report) -> None:
    rows = [row for row in report.rows if row.stage in _BY_LAYER and not row.tensor.endswith(INPUT)]
    places = np.arange(len(rows))
    if any(row.error_ratio is not None for row in rows):
        _plot(axes, places, [row.rms for row in rows], "o", "port (rms)")
        reference_errors = [row.reference_error or 0.0 for row in rows]
        _plot(axes, places, reference_errors, "x", "reference (rms)")
    else:
        _plot(axes, places, [row.relative for row in rows], "o", "port (largest)")
    limits = [row.limit for row in rows]
    axes.step(places, limits, where="mid", color="0.6", label="tolerance")
    for place, row in enumerate(rows):
        if not row.passed:
            axes.axvline(place, color="tab:red", alpha=0.3)
    axes.set_xticks(places, [row.tensor for row in rows], rotation=60, ha="right", fontsize=7)
    axes.set_ylabel("error by the tensor's scale")
    axes.set_title(report.title, fontsize=7, loc="left")
    _finish(axes)


def _draw_steps(axes: Axes, report: Report) -> None:
    for (number, stage), zero_gradient in itertools.product(enumerate(_CURVES), (False, True)):
        rows = [r for r in report.rows if r.stage is stage and r.zero_gradient == zero_gradient]
        worst: dict[int, list[float]] = {}
        for step, *errors in itertools.chain.from_iterable(row.by_step for row in rows):
            pair = [0.0 if e is None else e for e in errors]
            worst[step] = np.maximum(worst.get(step, [0.0, 0.0]), pair).tolist()
        if not worst:
            continue
        steps = sorted(worst)
        port, reference = (np.array([worst[s][i] for s in steps]) for i in (0, 1))
        apart = f", {ZERO_GRADIENT}" if zero_gradient else ""
        line: Any = {"color": f"C{number}", "alpha": 0.45 if zero_gradient else 1.0}
        _plot(axes, steps, port, "-", _CURVES[stage] + apart, **line)
        tolerance = min(row.tolerance for row in rows)
        if math.isfinite(tolerance) and (zero_gradient or stage in _WITH_TOLERANCE):
            axes.axhline(tolerance, linestyle="--", linewidth=0.8, **line)
        if reference.any():
            _plot(axes, steps, reference, ":", "", **line)
    if not axes.lines:
        axes.axis("off")
        return
    measure = "largest relative error; dashed: the tolerances of losses and weights"
    if any(row.error_ratio is not None for row in report.rows):
        measure = "worst rms error; dotted: the reference's own"
    axes.set_xscale("log")
    axes.set_xlabel("training step")
    axes.set_title(measure, fontsize=8, loc="left")
    _finish(axes)


def _plot(
    axes: Axes,
    places: Sequence[int] | np.ndarray,
    errors: Sequence[float] | np.ndarray,
    style: str,
    label: str,
    **line: Any,
) -> None:
    if style in ("-", ":") and len(errors) < 50:  # a curve of one point would be invisible
        style = f".{style}"
    axes.plot(places, np.maximum(errors, _FLOOR), style, label=label or None, **line)


def _finish(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
