"""A benchmark as a picture: ratios by task, and curves of cost against size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from contest.curves import place
from contest.report import ContestRow
from vae_jax.figures.drawing import new_figure

if TYPE_CHECKING:
    import matplotlib.figure

_AXES = {
    "batch": ("images a step", "milliseconds a step"),
    "latent": ("latents", "milliseconds a step"),
    "image": ("pixels a side", "milliseconds a step"),
    "images": ("images an epoch", "milliseconds an epoch"),
}
_BAR = 0.8  # of the place of a task that its bars take


def benchmark_figure(
    rows: Sequence[ContestRow], curves: Mapping[str, Sequence[ContestRow]] | None = None
) -> matplotlib.figure.Figure:
    """Draw rows of a ``report``.

    Left, each contestant's time as a multiple of this package's, on a logarithmic axis, and beside
    each task the least time that the machine's ceilings allow. Right, a panel for each curve:
    ``axis -> rows``, the axes as in ``curves``.
    """
    curves = curves or {}
    tasks = list(dict.fromkeys(map(_task, rows)))
    columns, stacked = bool(tasks) + bool(curves), max(len(curves), 1)
    figure = new_figure((7.5 * columns, max(4.2 * stacked, 0.5 + 0.18 * len(rows))), dpi=100)
    figure.set_layout_engine("constrained")
    grid = figure.add_gridspec(stacked, columns)
    if tasks:
        _draw_ratios(figure.add_subplot(grid[:, 0]), rows, tasks)
    for number, (axis, along) in enumerate(curves.items()):
        _draw_curve(figure.add_subplot(grid[number, -1]), axis, along)
    return figure


def _task(row: ContestRow) -> str:
    task = row.task
    hyper = "".join(f", {k}={v}" for k, v in task.hyper.items())
    precision = "" if task.precision == "float32" else f", {task.precision}"
    return f"{task.model}{hyper}\n{task.work}, batch {task.batch_size}{precision}"


def _draw_ratios(axes: Any, rows: Sequence[ContestRow], tasks: Sequence[str]) -> None:
    others = [row for row in rows if row.group != "ours"]
    colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(r.contestant for r in others))}
    floors = {_task(row): row.floor_share for row in rows if row.group == "ours"}
    labelled: set[str] = set()
    for line, task in enumerate(tasks):
        mine = [row for row in others if _task(row) == task]
        height = _BAR / max(len(mine), 1)
        for number, row in enumerate(mine):
            name = row.contestant
            where = line - _BAR / 2 + height * (number + 0.5)
            # A bar grows from 1, to the right where this package is quicker.
            axes.barh(
                where,
                row.ratio - 1,
                height * 0.9,
                left=1,
                color=colors[name],
                label=None if name in labelled else name,
            )
            labelled.add(name)
    shares = [floors.get(task, np.nan) for task in tasks]
    axes.plot(shares, range(len(tasks)), "k|", markersize=14, label="the machine's floor")
    axes.axvline(1, color="0.3", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(tasks)), tasks, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("time as a multiple of vae_jax's")
    axes.grid(alpha=0.3, axis="x")
    axes.legend(fontsize=7, loc="best")


def _draw_curve(axes: Any, axis: str, rows: Sequence[ContestRow]) -> None:
    lines: dict[tuple[str, ...], list[ContestRow]] = {}
    for row in rows:
        lines.setdefault((row.task.model, row.contestant, row.task.precision), []).append(row)
    # What all lines have in common stands above them once.
    shared = [len(set(names)) == 1 for names in zip(*lines, strict=True)]
    for names, mine in lines.items():
        mine.sort(key=lambda row: place(axis, row))
        places = [place(axis, row) for row in mine]
        label = ", ".join(n for n, same in zip(names, shared, strict=True) if not same) or names[1]
        axes.plot(places, [row.times.median * 1e3 for row in mine], "o-", label=label)
        if mine[0].group == "ours":
            floors = [row.floor * 1e3 for row in mine]
            axes.plot(places, floors, ":", color="0.4", label="the machine's floor")
    first = next(iter(lines))
    title = [n for i, n in enumerate(first) if shared[i] and n != "float32"]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(_AXES[axis][0])
    axes.set_ylabel(_AXES[axis][1])
    axes.set_title(", ".join(title), fontsize=8, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
