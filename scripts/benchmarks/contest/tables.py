"""Rows of a benchmark as a printed table, as Markdown, and in a folder."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contest.neighbours import TOO_BUSY
from contest.report import ContestRow, Report
from vae_jax.models.hyper import format_hyperparameter

_COLUMNS = (  # title, width (to the left where it is below 0)
    ("model", -28),
    ("work", -12),
    ("batch", 6),
    ("contestant", -28),
    ("median ms", 11),
    ("quartiles ms", 24),
    ("x ours", 8),
    ("images/s", 11),
    ("GFLOP/s", 9),
    ("GB/s", 7),
    ("of floor", 9),
)


def header() -> str:
    """Return the line above those of ``lines_of``."""
    return _aligned([title for title, _ in _COLUMNS])


def lines_of(rows: Sequence[ContestRow]) -> str:
    """Return a task's rows of the printed table, with a warning where the machine was busy."""
    lines = [_aligned(_cells(row)) for row in rows]
    return "\n".join([*lines, *_warning(rows)])


def _warning(rows: Iterable[ContestRow]) -> list[str]:
    busiest = max((row.others or 0.0 for row in rows), default=0.0)
    if busiest < TOO_BUSY:
        return []
    return [
        f"other processes used up to {100 * busiest:.0f} % of the machine meanwhile: neither times "
        "nor ratios are to be trusted"
    ]


def memory_line(found: Mapping[str, Any]) -> str:
    """Return a peak as a line."""
    compiled = found.get("compiled") or {}
    parts = {
        "peak": found["peak_bytes"],
        "after the first call": found["steady_bytes"],
        "by XLA's account": compiled.get("total"),
    }
    sizes = [f"{k} {v / 2**20:,.0f} MiB" for k, v in parts.items() if v is not None]
    what = f"{found['model']} {found['work']}, batch {found['batch_size']}"
    return f"{what}, {found['contestant']}: {', '.join(sizes)}"


def markdown(report: Report) -> str:
    """Return the report as a Markdown page."""
    lines = _markdown_table([title for title, _ in _COLUMNS], map(_cells, report.rows))
    for axis, rows in report.curves.items():
        titles = [title for title, _ in _COLUMNS]
        lines += ["", f"Along {axis}:", "", *_markdown_table(titles, map(_cells, rows))]
    if report.memory:
        lines += ["", *(f"- {memory_line(found)}" for found in report.memory)]
    measured = [*report.rows, *itertools.chain(*report.curves.values())]
    lines += ["", *(f"{name}: {found}" for name, found in report.ceilings.items())]
    lines += [text for warning in _warning(measured) for text in ("", warning)]
    return "\n".join(lines) + "\n"


def write_report(folder: Path, report: Report) -> list[str]:
    """Write ``benchmark.json``, ``.md`` and, with matplotlib, ``.png``; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.json").write_text(json.dumps(report.as_dict(), indent=1) + "\n")
    (folder / "benchmark.md").write_text(markdown(report))
    files = ["benchmark.json", "benchmark.md"]
    if report.rows or report.curves:
        with contextlib.suppress(ImportError):  # a bare accelerator host has no matplotlib
            from contest.figure import benchmark_figure
            from vae_jax.figures.drawing import save_figure

            save_figure(benchmark_figure(report.rows, report.curves), folder / "benchmark.png")
            files.append("benchmark.png")
    return files


def _cells(row: ContestRow) -> list[str]:
    task, times = row.task, row.times
    low, high = times.quartiles
    of_model = [task.model, *(f"{k}={format_hyperparameter(v)}" for k, v in task.hyper.items())]
    if task.precision != "float32":
        of_model.append(task.precision)
    return [
        " ".join(of_model),
        f"epoch {row.cost.images:,}" if task.work == "epoch" else task.work,
        str(task.batch_size),
        row.contestant,
        f"{times.median * 1e3:,.3f}",
        f"{low * 1e3:,.3f} to {high * 1e3:,.3f}",
        f"{row.ratio:.2f}",
        f"{row.images_per_second:,.0f}",
        f"{row.cost.flop / times.median / 1e9:,.1f}",
        f"{row.cost.moved / times.median / 1e9:,.1f}",
        f"{100 * row.floor_share:.0f} %",
    ]


def _aligned(cells: Sequence[str]) -> str:
    pairs = zip(cells, _COLUMNS, strict=True)
    return " ".join(
        cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, (_, width) in pairs
    ).rstrip()


def _markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
