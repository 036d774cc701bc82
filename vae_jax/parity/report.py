"""One structure for every verdict: rows of errors with their tolerances."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vae_jax.parity.layers import INPUT
from vae_jax.parity.precision import Precision, jax_settings, products_in_jax
from vae_jax.parity.stages import Stage
from vae_jax.training.environment import environment
from vae_jax.typing import Tensors

ZERO_GRADIENT = "noise-fed"  # in reports and tables; stored files have it, so it must not change
Facts = dict[str, Any]
"""Settings and versions, by the keys that stored reports have."""

_JSON_KEYS = {"tolerance": "budget", "reference_error": "stray", "error_ratio": "k"}
_RATIO_NOTE = (
    "below float64 the error that is judged is K: the port's distance from the reference run in "
    "float64 by the reference's own, both in this precision (root mean square over a tensor)"
)
_ZERO_GRADIENT_NOTE = (
    f"{ZERO_GRADIENT}: the gradient of a bias in front of a batch norm is zero in exact "
    "arithmetic; Adam normalises the rounding noise of either backend, and the running means "
    "absorb it. Such gradients and moments are measured on the scale of their layer's weight"
)


def floored(reference_error: float) -> float:
    """Return what an error ratio divides by.

    It is the reference's own error, or a unit roundoff of float32, which rounding the truth itself
    may cost: a number that happens to be right to the last bit measures nothing.
    """
    return max(reference_error, 2.0**-24)


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        stage: where in the comparison.
        tensor: the reference's name of it.
        max_abs: the largest difference from what was expected.
        relative: that by the largest magnitude of the expected tensor, its scale.
        ulps: that in units in the last place of the scale.
        rms: the root mean square difference by the scale.
        tolerance: the largest error that passes: of ``error_ratio`` where there is one, else of
            ``relative``.
        reference_error: the ``rms`` of the reference itself in the same precision; None in float64.
        error_ratio: ``rms`` by ``reference_error``; None in float64.
        by_step: of a run of training steps, (step, error, the reference's own) at each that was
            watched; relative errors in float64, else root mean squares.
        zero_gradient: whether it is a zero-gradient tensor, which its stage reports apart.
    """

    stage: Stage
    tensor: str
    max_abs: float
    relative: float
    ulps: float
    rms: float
    tolerance: float
    reference_error: float | None = None
    error_ratio: float | None = None
    by_step: tuple[tuple[int, float, float | None], ...] = ()
    zero_gradient: bool = False

    @property
    def title(self) -> str:
        """The stage as reports name it, with zero-gradient tensors apart."""
        return f"{self.stage.value}, {ZERO_GRADIENT}" if self.zero_gradient else self.stage.value

    @property
    def limit(self) -> float:
        """The largest error that passes: relative, or with an error ratio root mean square."""
        if self.reference_error is None:
            return self.tolerance
        return self.tolerance * floored(self.reference_error)

    @property
    def error(self) -> float:
        """What the tolerance is for."""
        return self.relative if self.error_ratio is None else self.error_ratio

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; NaN and infinity never are."""
        return self.error <= self.tolerance and self.error < np.inf

    def as_dict(self) -> dict[str, Any]:
        """Return the row for JSON, under the keys that stored reports have."""
        values = dataclasses.asdict(self)
        del values["zero_gradient"]
        values |= {"stage": self.title, "error": self.error, "passed": self.passed}
        return {_JSON_KEYS.get(key, key): _finite(value) for key, value in values.items()}


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
    facts: Facts = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every tolerance holds; a report without rows proves nothing."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def first_divergence(self) -> Row | None:
        """The first row over its tolerance, in the order of the computation."""
        return next((row for row in self.rows if not row.passed), None)

    def stages(self) -> dict[str, list[Row]]:
        """Return the rows by the title of their stage, in order."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.title, []).append(row)
        return found

    def place(self, row: Row) -> str:
        """Return where a row is, in words: an input that differs points before its layer."""
        if not row.tensor.endswith(INPUT):
            return row.tensor
        before = None
        for other in self.rows[: self.rows.index(row)]:
            if other.stage is row.stage and not other.tensor.endswith(INPUT):
                before = other.tensor
        layer = row.tensor.removesuffix(INPUT)
        return f"between {before} and {layer}" if before else f"before {layer}"

    def as_dict(self) -> dict[str, Any]:
        """Return everything, for JSON."""
        first = self.first_divergence
        return {
            "title": self.title,
            "passed": self.passed,
            "first_divergence": first and {"stage": first.title, "place": self.place(first)},
            "facts": self.facts,
            "notes": list(self.notes),
            "rows": [row.as_dict() for row in self.rows],
        }


def _finite(value: object) -> object:
    """Return a value with infinity and NaN, which JSON does not have, as text."""
    if isinstance(value, tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def notes_of(zero_gradient_tensors: Sequence[str], precision: Precision) -> tuple[str, ...]:
    """Return what a reader must know beside the figures."""
    zero_gradient = (_ZERO_GRADIENT_NOTE,) if zero_gradient_tensors else ()
    return (*zero_gradient, *(() if precision.is_exact else (_RATIO_NOTE,)))


def facts_of(name: str, precision: Precision, start: Tensors, **given: object) -> Facts:
    """Return what a report's figures depend on; ``given`` are batch size, steps, seed and so on."""
    return {"model": name, **given, "weights_sha256": hash_of(start), **settings_of(precision)}


def hash_of(tensors: Tensors) -> str:
    """Return the SHA-256 of names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def settings_of(precision: Precision) -> Facts:
    """Return the precision, and what JAX is set to in it."""
    with jax_settings(precision):
        return {
            "precision": precision.name,
            "products": products_in_jax(precision),
            "environment": environment(),
        }
