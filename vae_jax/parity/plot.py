"""A parity report as a picture: error by layer and error by training step, beside the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.figures.drawing import new_figure
from vae_jax.parity.layers import INPUT
from vae_jax.parity.report import Report
from vae_jax.parity.tolerances import NOISE_FED

if TYPE_CHECKING:
    import matplotlib.figure

_CLASSES = {  # how the stages of a curve begin -> its label
    "losses": "losses",
    "weights after steps": "weights",
    "exp_avg after steps": "first moment",
    "exp_avg_sq after steps": "second moment",
    "statistics after steps": "running statistics",
}
_BY_LAYER = ("activations", "posterior heads", "outputs")
_FLOOR = 1e-18  # where an error of zero is drawn


def parity_figure(reports: Sequence[Report]) -> matplotlib.figure.Figure:
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


def _draw_layers(axes: Any, report: Report) -> None:
    rows = [row for row in report.rows if row.stage in _BY_LAYER and not row.tensor.endswith(INPUT)]
    places = np.arange(len(rows))
    if any(row.k is not None for row in rows):
        strays = np.array([row.stray or 0.0 for row in rows])
        _plot(axes, places, [row.rms for row in rows], "o", "port (rms)")
        _plot(axes, places, strays, "x", "reference (rms)")
    else:
        _plot(axes, places, [row.relative for row in rows], "o", "port (largest)")
    limits = [row.limit for row in rows]
    axes.step(places, limits, where="mid", color="0.6", label="budget")
    for place, row in zip(places, rows, strict=True):
        if not row.passed:
            axes.axvline(place, color="tab:red", alpha=0.3)
    axes.set_xticks(places, [row.tensor for row in rows], rotation=60, ha="right", fontsize=7)
    axes.set_ylabel("error by the tensor's scale")
    axes.set_title(report.title, fontsize=7, loc="left")
    _finish(axes)


def _draw_steps(axes: Any, report: Report) -> None:
    for color, (begin, label) in enumerate(_CLASSES.items()):
        for fed in (False, True):
            worst: dict[int, list[float]] = {}
            budget = math.inf
            for row in report.rows:
                if row.stage.startswith(begin) and row.stage.endswith(NOISE_FED) == fed:
                    budget = min(budget, row.budget)
                    for step, *errors in row.by_step:
                        pair = [0.0 if e is None else e for e in errors]
                        worst[step] = np.maximum(worst.get(step, [0.0, 0.0]), pair).tolist()
            if not worst:
                continue
            steps = sorted(worst)
            port, reference = (np.array([worst[s][i] for s in steps]) for i in (0, 1))
            style = {"color": f"C{color}", "alpha": 0.45 if fed else 1.0}
            _plot(axes, steps, port, "-", f"{label}, noise-fed" if fed else label, **style)
            if math.isfinite(budget) and (fed or label in ("losses", "weights")):
                axes.axhline(budget, linestyle="--", linewidth=0.8, **style)
            if reference.any():
                _plot(axes, steps, reference, ":", "", **style)
    if not axes.lines:
        axes.axis("off")
        return
    dotted = any(row.k is not None for row in report.rows)
    measure = "worst rms error; dotted: the reference's own"
    if not dotted:
        measure = "largest relative error; dashed: the budgets of losses and weights"
    axes.set_xscale("log")
    axes.set_xlabel("training step")
    axes.set_title(measure, fontsize=8, loc="left")
    _finish(axes)


def _plot(axes: Any, places: Any, errors: Any, style: str, label: str, **more: Any) -> None:
    if style in ("-", ":") and len(errors) < 50:  # a curve of one point would be invisible
        style = f".{style}"
    axes.plot(places, np.maximum(errors, _FLOOR), style, label=label or None, **more)


def _finish(axes: Any) -> None:
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
