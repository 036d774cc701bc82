"""Reports as text: tables for a terminal and for a page, a summary of several, and JSON files."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from vae_jax.files import write_atomically
from vae_jax.markdown import table as markdown_table
from vae_jax.parity.report import ZERO_GRADIENT, Facts, Report, Row
from vae_jax.parity.stages import Phase, Stage

# column of the summary -> its stages
_COLUMNS = {
    "activations": (
        *(Stage.ACTIVATIONS, Stage.TRAIN_ACTIVATIONS, Stage.POSTERIOR_HEADS, Stage.OUTPUTS),
    ),
    "loss terms": (Stage.LOSS_TERMS,),
    "gradients": (Stage.GRADIENTS,),
    "optimiser": (Stage.OPTIMISER,),
    "one step": tuple(stage for stage in Stage if stage.phase is Phase.ONE_STEP),
    "losses": (Stage.LOSSES,),
    "N steps": tuple(stage for stage in Stage if stage.is_plotted_only),
}
_ALL_COLUMNS = (*_COLUMNS, ZERO_GRADIENT)


def table(report: Report) -> str:
    """Return the first divergence, then the worst of each stage, a line each, for a terminal."""
    return "\n".join(
        [
            report.title,
            f"  {verdict(report)}",
            *([f"  {_settings(report.facts)}"] if report.facts else []),
            *(f"  {line}" for line in _aligned(_cells(report))),
            *(f"  note: {note}" for note in report.notes),
        ]
    )


def verdict(report: Report) -> str:
    """Return one line: all within tolerance, or where the first divergence is."""
    first, count = report.first_divergence, len(report.rows)
    if first is None:
        return f"agrees: {count} comparisons within tolerance" if count else "EMPTY"
    unit = "relative error" if first.error_ratio is None else "K"
    return (
        f"DIVERGES first in {first.title}: {report.place(first)} "
        f"({unit} {first.error:.2g}, tolerance {first.tolerance:g}; "
        f"{sum(not row.passed for row in report.rows)} of {count} over tolerance)"
    )


def summary(reports: Sequence[Report]) -> str:
    """Return one table: a line a report, a column a stage; worst relative errors, or worst K."""
    return "\n".join(_aligned(_summary_cells(reports)))


def device_names() -> str:
    """Return the names of the devices that JAX computes on."""
    kinds = [device.device_kind for device in jax.devices()]
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))


def markdown(reports: Sequence[Report]) -> str:
    """Return a page: the summary, then each report with its settings."""
    parts = ["# Parity report\n"]
    if len(reports) > 1:
        head, *rows = _summary_cells(reports)
        parts.append(markdown_table(head, rows) + "\n")
    for report in reports:
        parts.append(f"## {report.title}\n\n**{verdict(report)}**\n")
        head, *rows = _cells(report)
        parts.append(markdown_table(head, rows) + "\n")
        parts += [f"- {note}" for note in report.notes]
        facts = {**report.facts, **report.facts.get("environment", {})}
        parts += [f"- {k}: {_plain(value)}" for k, value in facts.items() if k != "environment"]
        parts.append("")
    return "\n".join(parts)


def write_reports(folder: Path, reports: Sequence[Report]) -> list[str]:
    """Write ``report.json``, ``report.md`` and, where matplotlib is installed, ``report.png``.

    Args:
        folder: made where it is missing.
        reports: one or several.

    Returns:
        The names of the files written.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([report.as_dict() for report in reports], indent=1)
    write_atomically(folder / "report.json", text + "\n")
    write_atomically(folder / "report.md", markdown(reports))
    try:
        from vae_jax.figures.drawing import save_figure
        from vae_jax.parity.plot import parity_figure

        save_figure(parity_figure(reports), folder / "report.png")
    except ImportError:  # a bare accelerator host
        return ["report.json", "report.md"]
    return ["report.json", "report.md", "report.png"]


def _settings(facts: Facts) -> str:
    """Return what the figures depend on, in a line."""
    found = facts["environment"]
    return (
        f"JAX {found['versions']['jax']} on {', '.join(found['devices'])}; {facts['products']}; "
        f"PRNG {found['prng']}; XLA flags {found['xla_flags'].strip() or 'none'}"
    )


def _cells(report: Report) -> list[list[str]]:
    """Return the cells of a report's table, the worst row of each stage."""
    with_ratios = any(row.error_ratio is not None for row in report.rows)
    errors = ["reference's rms", "port's rms", "median K", "worst K"] if with_ratios else []
    head = ["stage", "tensors", "max abs", "relative", "ULPs", *errors, "tolerance", ""]
    lines = [[*head, "worst tensor"]]
    for title, rows in report.stages().items():
        row = worst(rows)
        line = [title, str(len(rows)), f"{row.max_abs:.1e}", f"{row.relative:.1e}"]
        line.append(f"{row.ulps:.3g}")
        if row.error_ratio is not None:
            line += [f"{row.reference_error:.1e}", f"{row.rms:.1e}"]
            line += [f"{median_ratio(rows):.2f}", f"{row.error_ratio:.2f}"]
        else:
            line += [""] * len(errors)
        plotted_only = math.isinf(row.tolerance)
        line.append("not judged" if plotted_only else f"{row.tolerance:g}")
        within = all(r.passed for r in rows)  # NaN is not, even where nothing is judged
        line.append("BROKEN" if not within else "" if plotted_only else "ok")
        lines.append([*line, report.place(row)])
    return lines


def _summary_cells(reports: Sequence[Report]) -> list[list[str]]:
    """Return the cells of a table with a line a report."""
    lines = [["model", "precision", "measure", *_ALL_COLUMNS, "verdict"]]
    with_ratios: dict[str, list[Row]] = {}  # the rows of all models by precision
    for report in reports:
        by_ratio = any(row.error_ratio is not None for row in report.rows)
        model, precision = (str(report.facts.get(key, "")) for key in ("model", "precision"))
        if by_ratio:
            with_ratios.setdefault(precision, []).extend(report.rows)
        groups = _by_column(report.rows)
        cells = [_worst_cell(groups[column], by_ratio) for column in _ALL_COLUMNS]
        measure = "worst K" if by_ratio else "relative error"
        lines.append([model, precision, measure, *cells, "ok" if report.passed else "BROKEN"])
    for precision, rows in with_ratios.items():
        medians = [median_ratio(found) for found in _by_column(rows).values()]
        cells = ["" if median is None else f"{median:.2f}" for median in medians]
        lines.append(["all of these", precision, "median K", *cells, ""])
    if with_ratios:
        lines.append(["", "", "in brackets: plotted, not judged", *[""] * (len(lines[0]) - 3)])
    return lines


def _worst_cell(rows: Sequence[Row], by_ratio: bool) -> str:
    if not rows:
        return ""
    error = float(np.max([row.error for row in rows]))  # NaN stays
    shown = f"{error:.2f}" if by_ratio else f"{error:.1e}"
    return f"({shown})" if any(math.isinf(row.tolerance) for row in rows) else shown


def _by_column(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each column of the summary."""
    groups: dict[str, list[Row]] = {column: [] for column in _ALL_COLUMNS}
    for row in rows:
        for column, stages in _COLUMNS.items():
            if row.stage in stages:
                groups[ZERO_GRADIENT if row.zero_gradient else column].append(row)
    return groups


def worst(rows: Sequence[Row]) -> Row:
    """Return the row nearest to its tolerance, or furthest over it; NaN is furthest."""

    def nearness(row: Row) -> float:
        if row.tolerance and np.isfinite(row.error):
            return row.error / (1.0 if np.isinf(row.tolerance) else row.tolerance)
        return 0.0 if row.error == 0 else np.inf

    return max(rows, key=nearness)


def median_ratio(rows: Sequence[Row]) -> float | None:
    """Return the median error ratio; None where there is no ratio."""
    found = [row.error_ratio for row in rows if row.error_ratio is not None]
    return statistics.median(found) if found else None


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [any(c[i][:1].isdigit() for c in lines[1:]) for i in range(len(widths))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
