"""One structure for every verdict: rows of errors with their budgets, as a table or as data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        stage: what was compared, such as ``gradients``.
        tensor: the reference's name of it.
        error: largest difference relative to the reference's largest magnitude.
        budget: the largest error that passes.
    """

    stage: str
    tensor: str
    error: float
    budget: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the budget; NaN never is."""
        return self.error <= self.budget


@dataclasses.dataclass(frozen=True)
class Report:
    """All comparisons of one model.

    Attributes:
        title: what was compared with what.
        rows: in the order in which they were made.
        notes: what a reader must know to judge them.
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every budget holds; a report without rows proves nothing."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    def worst(self) -> list[tuple[Row, int]]:
        """The worst row of each stage and budget (nearest to it, or furthest over), and how many
        rows it stands for."""
        groups: dict[tuple[str, float], list[Row]] = {}
        for row in self.rows:
            groups.setdefault((row.stage, row.budget), []).append(row)
        return [
            (max(rows, key=lambda r: np.inf if np.isnan(r.error) else r.error), len(rows))
            for rows in groups.values()
        ]

    def table(self) -> str:
        """The worst of each stage, a line each; a broken budget is marked."""
        lines = [
            self.title,
            f"  {'stage':<34}{'tensors':>8}  {'worst error':>11}  {'budget':>7}"
            f"  {'':<6}  worst tensor",
        ]
        for row, count in self.worst():
            verdict = "ok" if row.passed else "BROKEN"
            lines.append(
                f"  {row.stage:<34}{count:>8}  {row.error:>11.1e}  {row.budget:>7.0e}"
                f"  {verdict:<6}  {row.tensor}"
            )
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "title": self.title,
            "passed": self.passed,
            "notes": list(self.notes),
            "rows": [dataclasses.asdict(row) | {"passed": row.passed} for row in self.rows],
        }


_COLUMNS = {
    "forward": ("forward",),
    "gradients": ("gradients",),
    "losses": ("loss",),  # the terms of one batch, and those of each step
    "weights": ("weights", "exp_avg", "exp_avg_sq"),
    "noise-fed": ("noise-fed",),
}


def summary(reports: dict[str, Report]) -> str:
    """One table of the worst errors: a line a model, a column a stage."""
    lines = [f"{'model':<13}" + "".join(f"{title:>11}" for title in _COLUMNS) + "  verdict"]
    for name, report in reports.items():
        errors: dict[str, float] = {}
        for row in report.rows:
            is_fed = row.stage.endswith("noise-fed")
            for title, stages in _COLUMNS.items():
                if title == "noise-fed" if is_fed else row.stage.startswith(stages):
                    errors[title] = float(np.maximum(errors.get(title, 0.0), row.error))
        cells = [f"{errors[t]:.1e}" if t in errors else "" for t in _COLUMNS]
        verdict = "ok" if report.passed else "BROKEN"
        lines.append(f"{name:<13}" + "".join(f"{cell:>11}" for cell in cells) + f"  {verdict}")
    return "\n".join(lines)


def compare(
    stage: str,
    reference: dict[str, Any],
    port: dict[str, Any],
    budgets: dict[str, float] | float,
    scales: dict[str, float] | None = None,
) -> list[Row]:
    """One row a tensor.

    Args:
        stage: name of the stage.
        reference: the reference's values by name.
        port: the port's; the names must be the same.
        budgets: one for all, or by name.
        scales: magnitudes to use instead of the reference tensor's own, by name.

    Raises:
        AssertionError: the two hold different names or shapes.
    """
    assert reference.keys() == port.keys(), f"{stage}: {reference.keys() ^ port.keys()} differ"
    rows = []
    for name, expected in reference.items():
        expected, found = np.asarray(expected, np.float64), np.asarray(port[name], np.float64)
        assert expected.shape == found.shape, f"{stage} {name}: {expected.shape}, {found.shape}"
        scale = (scales or {}).get(name) or max(float(np.max(np.abs(expected))), 1e-300)
        error = float(np.max(np.abs(found - expected))) / scale
        budget = budgets[name] if isinstance(budgets, dict) else budgets
        rows.append(Row(stage, name, error, budget))
    return rows
