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

from vae_jax.benchmark.ceilings import Ceilings
from vae_jax.benchmark.tasks import Task
from vae_jax.benchmark.timing import Times
from vae_jax.benchmark.work import Cost
from vae_jax.data.decode import num_cores


@dataclasses.dataclass(frozen=True)
class Row:
    """One contestant's time for one task.

    Attributes:
        task: what it did.
        contestant: its name.
        group: what ``--against`` calls it; ``ours`` for this package.
        times: what it took.
        cost: what the task costs at the least.
        floor: seconds that this takes at the machine's ceilings.
        ratio: its median over ours: above 1 where this package is quicker.
        others: the part of the machine that other processes used meanwhile; None if unknown.
    """

    task: Task
    contestant: str
    group: str
    times: Times
    cost: Cost
    floor: float
    ratio: float
    others: float | None = None

    @property
    def images_per_second(self) -> float:
        """Throughput."""
        return self.cost.images / self.times.median

    @property
    def floor_share(self) -> float:
        """How near it comes to the least time possible: 1 is there."""
        return self.floor / self.times.median

    def as_dict(self) -> dict[str, Any]:
        """Every figure, with its unit in its name."""
        task, times, low_high = self.task, self.times, self.times.quartiles
        return {
            "model": task.model,
            "work": task.work,
            "batch_size": task.batch_size,
            "images": self.cost.images,
            "hyper": task.hyper,
            "precision": task.precision,
            "device": task.device,
            "contestant": self.contestant,
            "group": self.group,
            "median_seconds": times.median,
            "quartiles_seconds": list(low_high),
            "rounds_seconds": list(times.seconds),
            "repetitions": times.repetitions,
            "first_call_seconds": times.first,
            "ratio_to_ours": self.ratio,
            "images_per_second": self.images_per_second,
            "gflop_per_second": self.cost.flop / times.median / 1e9,
            "gigabytes_per_second": self.cost.moved / times.median / 1e9,
            "floor_seconds": self.floor,
            "floor_share": self.floor_share,
            "others_share": self.others,
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """All that one run of the benchmark found.

    Attributes:
        rows: contestants' times, those of a task together, ours first.
        ceilings: the machine's, by precision.
        memory: peaks of ``vae_jax.benchmark.memory``, as dictionaries.
        curves: the axis of ``vae_jax.benchmark.scaling`` -> rows along it.
    """

    rows: Sequence[Row]
    ceilings: Mapping[str, Ceilings]
    memory: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Sequence[Row]] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; NaN and infinity, which JSON lacks, are null."""
        return _finite(
            {
                "environment": machine(),
                "ceilings": {
                    name: {
                        "gflop_per_second": found.flops / 1e9,
                        "gigabytes_per_second": {str(k): v / 1e9 for k, v in found.copies.items()},
                    }
                    for name, found in self.ceilings.items()
                },
                "rows": [row.as_dict() for row in self.rows],
                "memory": [dict(row) for row in self.memory],
                "curves": {k: [r.as_dict() for r in rows] for k, rows in self.curves.items()},
            }
        )


def best_ratio(rows: Iterable[Row], group: str) -> float | None:
    """The ratio of a group's quickest contestant; None where it has none."""
    return min((row.ratio for row in rows if row.group == group), default=None)


def machine() -> dict[str, Any]:
    """What the figures depend on: JAX's side as a run records it, the processor, and the versions
    of the other frameworks that are installed."""
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
