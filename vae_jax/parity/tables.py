"""Reports as text: tables for a terminal and for a page, a summary of several, and JSON files."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vae_jax.files import write_atomically
from vae_jax.markdown import table as markdown_table
from vae_jax.parity.report import Report, Row, median_k, worst
from vae_jax.parity.tolerances import NOISE_FED

# column of the summary -> how the names of its stages begin
_COLUMNS = {
    "activations": ("activations", "posterior", "outputs"),
    "loss terms": ("loss terms",),
    "gradients": ("gradients",),
    "optimiser": ("optimiser",),
    "one step": tuple(f"{k} after one" for k in ("weights", "exp_avg", "exp_avg_sq", "statistics")),
    "losses": ("losses",),
    "N steps": tuple(f"{k} after st" for k in ("weights", "exp_avg", "exp_avg_sq", "statistics")),
}


def table(report: Report) -> str:
    """The first divergence, then the worst of each stage, a line each, for a terminal."""
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
    """One line: all within budget, or where the first divergence is."""
    first = report.first_divergence
    if first is None:
        return f"agrees: {len(report.rows)} comparisons within budget" if report.rows else "EMPTY"
    unit = "relative error" if first.k is None else "K"
    return (
        f"DIVERGES first in {first.stage}: {report.place(first)} "
        f"({unit} {first.error:.2g}, budget {first.budget:g}; "
        f"{sum(not row.passed for row in report.rows)} of {len(report.rows)} over budget)"
    )


def summary(reports: Sequence[Report]) -> str:
    """One table: a line a report, a column a stage; worst relative errors, or worst K."""
    return "\n".join(_aligned(_summary_cells(reports)))


def device_names() -> str:
    """What JAX computes on."""
    kinds = [device.device_kind for device in jax.devices()]
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))


def markdown(reports: Sequence[Report]) -> str:
    """A page: the summary, then each report with its settings."""
    parts = ["# Parity report\n"]
    if len(reports) > 1:
        head, *rows = _summary_cells(reports)
        parts.append(markdown_table(head, rows) + "\n")
    for report in reports:
        parts.append(f"## {report.title}\n\n**{verdict(report)}**\n")
        head, *rows = _cells(report)
        parts.append(markdown_table(head, rows) + "\n")
        parts += [f"- {note}" for note in report.notes]
        facts = report.facts | report.facts.get("environment", {})
        facts.pop("environment", None)
        parts += [f"- {key}: {_plain(value)}" for key, value in facts.items()]
        parts.append("")
    return "\n".join(parts)


def write_reports(folder: Path, reports: Sequence[Report]) -> list[str]:
    """``report.json``, ``report.md`` and, where matplotlib is installed, ``report.png`` in a
    folder, which is made; the names of those written.

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


def _settings(facts: dict[str, Any]) -> str:
    """What the figures depend on, in a line."""
    found = facts["environment"]
    return (
        f"JAX {found['versions']['jax']} on {', '.join(found['devices'])}; {facts['products']}; "
        f"PRNG {found['prng']}; XLA flags {found['xla_flags'].strip() or 'none'}"
    )


def _cells(report: Report) -> list[list[str]]:
    with_k = any(row.k is not None for row in report.rows)
    head = ["stage", "tensors", "max abs", "relative", "ULPs", "budget", "", "worst tensor"]
    if with_k:
        head[5:6] = ["reference's rms", "port's rms", "median K", "worst K", "budget"]
    lines = [head]
    for stage, rows in report.stages().items():
        row = worst(rows)
        line = [stage, str(len(rows)), f"{row.max_abs:.1e}", f"{row.relative:.1e}"]
        line.append(f"{row.ulps:.3g}")
        if with_k:
            judged = row.k is not None
            line += [f"{row.stray:.1e}", f"{row.rms:.1e}"] if judged else ["", ""]
            line += [f"{median_k(rows):.2f}", f"{row.k:.2f}"] if judged else ["", ""]
        drawn = math.isinf(row.budget)
        line.append("not judged" if drawn else f"{row.budget:g}")
        within = all(r.passed for r in rows)  # NaN is not, even where nothing is judged
        line.append("BROKEN" if not within else "" if drawn else "ok")
        lines.append([*line, report.place(row)])
    return lines


def _summary_cells(reports: Sequence[Report]) -> list[list[str]]:
    lines = [["model", "precision", "measure", *_COLUMNS, NOISE_FED, "verdict"]]
    all_rows: dict[str, list[Row]] = {}  # of all models by precision
    for report in reports:
        groups = _by_column(report.rows)
        with_k = any(row.k is not None for row in report.rows)
        if with_k:
            all_rows.setdefault(str(report.facts.get("precision", "")), []).extend(report.rows)
        facts = report.facts
        line = [str(facts.get("model", "")), str(facts.get("precision", ""))]
        line.append("worst K" if with_k else "relative error")
        for column in (*_COLUMNS, NOISE_FED):
            rows = groups.get(column)
            if rows is None:
                line.append("")
                continue
            error = float(np.max([row.error for row in rows]))  # NaN stays
            shown = f"{error:.2f}" if with_k else f"{error:.1e}"
            if any(math.isinf(row.budget) for row in rows):
                shown = f"({shown})"
            line.append(shown)
        lines.append([*line, "ok" if report.passed else "BROKEN"])
    for precision, rows in all_rows.items():
        medians = {k: median_k(found) for k, found in _by_column(rows).items()}
        found = [medians.get(column) for column in (*_COLUMNS, NOISE_FED)]
        cells = ["" if median is None else f"{median:.2f}" for median in found]
        lines.append(["all of these", precision, "median K", *cells, ""])
    if all_rows:
        lines.append(["", "", "in brackets: plotted, not judged", *[""] * (len(lines[0]) - 3)])
    return lines


def _by_column(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each column of the summary."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        fed = row.stage.endswith(NOISE_FED)
        for column, stages in _COLUMNS.items():
            if row.stage.startswith(stages):
                groups.setdefault(NOISE_FED if fed else column, []).append(row)
    return groups


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
