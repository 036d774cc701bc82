"""What was measured, as rows, and what it depends on."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vae_jax.benchmark.roofline import Ceilings
from vae_jax.benchmark.timing import Row
from vae_jax.data.decode import num_cores


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContestRow(Row):
    """One contestant's time for one task.

    Attributes:
        contestant: its name.
        group: what ``--against`` names; ``ours`` for this package.
        ratio: its median over ours: above 1 where this package is quicker.
        others: the part of the machine that other processes used meanwhile; None if unknown.
    """

    contestant: str
    group: str
    ratio: float
    others: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return every figure, with its unit in its name."""
        return super().as_dict() | {
            "contestant": self.contestant,
            "group": self.group,
            "ratio_to_ours": self.ratio,
            "others_share": self.others,
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """All that one run of the benchmark found.

    Attributes:
        rows: contestants' times, those of a task together, ours first.
        ceilings: the machine's, by precision.
        memory: peaks of ``memory``, as dictionaries.
        curves: the axis of ``curves`` -> rows along it.
    """

    rows: Sequence[ContestRow]
    ceilings: Mapping[str, Ceilings]
    memory: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Sequence[ContestRow]] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON; NaN and infinity, which JSON lacks, are null."""
        return _finite(
            {
                "environment": machine(),
                "ceilings": {name: found.as_dict() for name, found in self.ceilings.items()},
                "rows": [row.as_dict() for row in self.rows],
                "memory": [dict(row) for row in self.memory],
                "curves": {k: [r.as_dict() for r in rows] for k, rows in self.curves.items()},
            }
        )


def best_ratio(rows: Iterable[ContestRow], group: str) -> float | None:
    """Return the ratio of a group's quickest contestant; None where it has none."""
    return min((row.ratio for row in rows if row.group == group), default=None)


def machine() -> dict[str, Any]:
    """Return what the figures depend on: JAX's side as a run records it, the processor, and the
    versions of the other frameworks that are installed."""
    from vae_jax.training.run import environment

    found = environment()
    for name in ("torch", "paddlepaddle", "tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found["versions"][name] = importlib.metadata.version(name)
    return found | {"cpu": _processor(), "cores": num_cores(), "python": platform.python_version()}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [row.partition(":")[2].strip() for row in text.splitlines() if "model name" in row]
    return names[0] if names else platform.processor()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
