"""One structure for every verdict: rows of errors with their budgets."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import numpy as np

from vae_jax.parity.layers import INPUT


def yardstick(stray: float) -> float:
    """What K divides by: the reference's own error, or a unit roundoff of float32, which rounding
    the truth itself may cost. A number that happens to be right to the last bit is no yardstick."""
    return max(stray, 2.0**-24)


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        stage: what was compared, such as ``gradients``.
        tensor: the reference's name of it.
        max_abs: the largest difference from what was expected.
        relative: that by the largest magnitude of the expected tensor, its scale.
        ulps: that in units in the last place of the scale.
        rms: the root mean square difference by the scale.
        budget: the largest error that passes: of ``k`` where there is one, else of ``relative``.
        stray: the ``rms`` of the reference itself in the same precision; None in float64.
        k: ``rms`` by ``stray``; None in float64.
        by_step: of a run of training steps, (step, error, the reference's own) at each that was
            watched; relative errors in float64, else root mean squares.
    """

    stage: str
    tensor: str
    max_abs: float
    relative: float
    ulps: float
    rms: float
    budget: float
    stray: float | None = None
    k: float | None = None
    by_step: tuple[tuple[int, float, float | None], ...] = ()

    @property
    def limit(self) -> float:
        """The largest error of the tensor that passes: relative, or with ``k`` root mean square."""
        return self.budget if self.stray is None else self.budget * yardstick(self.stray)

    @property
    def error(self) -> float:
        """What the budget is for."""
        return self.relative if self.k is None else self.k

    @property
    def passed(self) -> bool:
        """Whether the error is within the budget; NaN and infinity never are."""
        return self.error <= self.budget and self.error < np.inf


@dataclasses.dataclass(frozen=True)
class Report:
    """All comparisons of one model.

    Attributes:
        title: what was compared with what.
        rows: in the order in which they were made.
        notes: what a reader must know to judge them.
        facts: settings and versions.
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every budget holds; a report without rows proves nothing."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def first_divergence(self) -> Row | None:
        """The first row over its budget, in the order of the computation."""
        return next((row for row in self.rows if not row.passed), None)

    def stages(self) -> dict[str, list[Row]]:
        """The rows by stage, in order."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.stage, []).append(row)
        return found

    def place(self, row: Row) -> str:
        """Where a row is, in words: an input that differs points at what lies before the layer."""
        if not row.tensor.endswith(INPUT):
            return row.tensor
        before = None
        for other in self.rows[: self.rows.index(row)]:
            if other.stage == row.stage and not other.tensor.endswith(INPUT):
                before = other.tensor
        layer = row.tensor.removesuffix(INPUT)
        return f"between {before} and {layer}" if before else f"before {layer}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        first = self.first_divergence
        return {
            "title": self.title,
            "passed": self.passed,
            "first_divergence": first and {"stage": first.stage, "place": self.place(first)},
            "facts": self.facts,
            "notes": list(self.notes),
            "rows": [
                {k: _finite(v) for k, v in dataclasses.asdict(row).items()}
                | {"error": _finite(row.error), "passed": row.passed}
                for row in self.rows
            ],
        }


def _finite(value: Any) -> Any:
    """JSON knows neither infinity nor NaN: these become text."""
    if isinstance(value, tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def worst(rows: list[Row]) -> Row:
    """The row nearest to its budget, or furthest over it; NaN is furthest."""

    def nearness(row: Row) -> float:
        if row.budget and np.isfinite(row.error):
            return row.error / (1.0 if np.isinf(row.budget) else row.budget)
        return 0.0 if row.error == 0 else np.inf

    return max(rows, key=nearness)


def median_k(rows: list[Row]) -> float | None:
    """The median of the ratios to the reference's own error."""
    found = [row.k for row in rows if row.k is not None]
    return statistics.median(found) if found else None
