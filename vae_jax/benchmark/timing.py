"""Time work in turns, and set it beside the least time that the machine's ceilings allow."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.benchmark.roofline import Ceilings, Cost
from vae_jax.benchmark.runs import Run, build
from vae_jax.benchmark.tasks import Task, tiny
from vae_jax.memory import PeakMeter

TURN = 0.1  # seconds at least: beside it the clock and the waking of threads cost little


@dataclasses.dataclass(frozen=True)
class Times:
    """What a run took.

    Attributes:
        first: seconds of its first call, in which it compiles.
        repetitions: units of work a turn.
        seconds: a unit of work, by round.
    """

    first: float
    repetitions: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds a unit of work."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Seconds a unit of work in the quicker and the slower quarter of the rounds."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)


class Memory(NamedTuple):
    """What work took of the machine's memory, beyond what the process held before.

    Attributes:
        peak_bytes: at most; on a GPU by the allocator's account, since the process began.
        steady_bytes: after the first calls, which compile; None where the system cannot tell.
    """

    peak_bytes: int
    steady_bytes: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What one task took.

    Attributes:
        task: what was done.
        times: what it took.
        cost: what it costs at the least.
        floor: seconds that this takes at the machine's ceilings.
    """

    task: Task
    times: Times
    cost: Cost
    floor: float

    @property
    def images_per_second(self) -> float:
        """Throughput."""
        return self.cost.images / self.times.median

    @property
    def floor_share(self) -> float:
        """How near it comes to the least time possible: 1 is there."""
        return self.floor / self.times.median

    def as_dict(self) -> dict[str, Any]:
        """Return every figure, with its unit in its name."""
        task, times = self.task, self.times
        return {
            "model": task.model,
            "work": task.work,
            "batch_size": task.batch_size,
            "images": self.cost.images,
            "hyper": task.hyper,
            "precision": task.precision,
            "device": task.device,
            "median_seconds": times.median,
            "quartiles_seconds": list(times.quartiles),
            "rounds_seconds": list(times.seconds),
            "repetitions": times.repetitions,
            "first_call_seconds": times.first,
            "images_per_second": self.images_per_second,
            "gflop_per_second": self.cost.flop / times.median / 1e9,
            "gigabytes_per_second": self.cost.moved / times.median / 1e9,
            "floor_seconds": self.floor,
            "floor_share": self.floor_share,
        }


def measure(task: Task, ceilings: Ceilings, rounds: int = 15) -> tuple[Row, Memory]:
    """Time this package at a task, and measure the memory that it takes.

    Args:
        task: what to do.
        ceilings: the machine's.
        rounds: turns; an epoch is a turn of its own.
    """
    build(tiny(task))(2)  # loads what every model loads
    meter, laps = PeakMeter(), list[int]()
    times = interleave(
        {"vae_jax": build(task)},
        rounds,
        turn=0 if task.work == "epoch" else TURN,
        ready=lambda: laps.append(meter.lap()),
    )["vae_jax"]
    laps.append(meter.lap())
    memory = Memory(max(laps), laps[-1] if meter.resets else None)
    if task.device == "gpu":
        memory = Memory(*[int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])] * 2)
    return Row(task=task, times=times, cost=task.cost, floor=task.cost.floor(ceilings)), memory


def interleave(
    runs: Mapping[str, Run],
    rounds: int = 15,
    *,
    turn: int | float = TURN,
    rest: Callable[[], None] = lambda: None,
    ready: Callable[[], None] = lambda: None,
) -> dict[str, Times]:
    """Time runs in turns, round after round, the order rotating by one each round.

    A machine's speed drifts with its temperature, its clock and its neighbours. Turns of a fraction
    of a second spread the drift over all runs alike, so that ratios hold where seconds do not. A
    turn is a rest, half as many units again to get up to speed, and the units that count.

    Args:
        runs: by name; each is called once to compile, and then measured.
        rounds: turns of each.
        turn: seconds that a turn lasts at least; the unit is repeated to fill it. With 0 a turn is
            one unit.
        rest: called before each turn.
        ready: called once when all have compiled, before the first turn.
    """
    names = list(runs)
    first: dict[str, float] = {}
    counts: dict[str, int] = {}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        rest()
        first[name] = _timed(runs[name], 1)
        counts[name] = _repetitions(runs[name], turn) if turn > 0 else 1
    ready()
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            rest()
            if counts[name] > 1:  # what slept takes a while to get up to speed
                runs[name](math.ceil(counts[name] / 2))
            seconds[name].append(_timed(runs[name], counts[name]) / counts[name])
    return {name: Times(first[name], counts[name], tuple(seconds[name])) for name in names}


def _repetitions(run: Run, turn: int | float) -> int:
    """Return how often a unit fits into a turn, by the quickest of some: a hiccup would make it
    one."""
    unit = min(_timed(run, 1) for _ in range(2))
    if unit > 10 * turn:
        return 1
    unit = min(unit, _timed(run, 1))
    if 0 < unit < turn:
        count = math.ceil(turn / unit / 4)
        unit = min(unit, _timed(run, count) / count)
    return math.ceil(turn / unit) if unit > 0 else 1


def _timed(run: Run, count: int) -> float:
    started = time.perf_counter()
    run(count)
    return time.perf_counter() - started
