"""Time work in turns, and compare it with the least time that the machine's ceilings allow."""

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

TURN = 0.1  # least seconds of a turn, long compared with reading the clock and waking threads


@dataclasses.dataclass(frozen=True)
class Times:
    """The times of a run.

    Attributes:
        first: seconds of its first call, which compiles.
        repetitions: units of work per turn.
        seconds: seconds per unit of work, by round.
    """

    first: float
    repetitions: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median seconds per unit of work."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and upper quartile of the seconds per unit of work."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float(low), float(high)


class Memory(NamedTuple):
    """The memory that work took beyond what the process held before.

    Attributes:
        peak_bytes: the peak; on a GPU the allocator's peak since the process started.
        steady_bytes: the peak after the first calls, which compile; None if the system cannot
            measure it.
    """

    peak_bytes: int
    steady_bytes: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """The results of one task.

    Attributes:
        task: the task.
        times: its times.
        cost: its least cost.
        floor: seconds that the least cost takes at the machine's ceilings.
    """

    task: Task
    times: Times
    cost: Cost
    floor: float

    @property
    def images_per_second(self) -> float:
        """The throughput."""
        return self.cost.images / self.times.median

    @property
    def floor_share(self) -> float:
        """The least time possible as a fraction of the median time."""
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
        task: the task.
        ceilings: the machine's ceilings.
        rounds: number of turns; an epoch takes a whole turn.
    """
    build(tiny(task))(2)  # load the libraries before measuring memory
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
    """Time runs in turns, rotating their order by one in each round.

    A machine's speed drifts with its temperature, its clock and other processes. Turns of a
    fraction of a second spread the drift evenly over all runs, so that ratios are stable even if
    seconds are not. A turn is a rest, a warm-up of half as many units, and the measured units.

    Args:
        runs: runs by name; each is called once to compile, and then measured.
        rounds: turns per run.
        turn: least seconds of a turn, for which the unit is repeated; with 0 a turn is one unit.
        rest: called before each turn.
        ready: called once after all have compiled, before the first turn.
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
            if counts[name] > 1:  # warm up after the rest
                runs[name](math.ceil(counts[name] / 2))
            seconds[name].append(_timed(runs[name], counts[name]) / counts[name])
    return {name: Times(first[name], counts[name], tuple(seconds[name])) for name in names}


def _repetitions(run: Run, turn: int | float) -> int:
    """Return how often a unit fits into a turn, by the quickest of a few to ignore hiccups."""
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
