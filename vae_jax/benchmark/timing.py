"""Interleaved timing: the contestants take turns, round after round.

A machine's speed drifts with its temperature, its clock and its neighbours. Turns of a fraction of
a second spread the drift over all contestants alike, so that ratios hold where seconds do not.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping

import numpy as np

from vae_jax.benchmark.processes import cpu_seconds
from vae_jax.benchmark.tasks import Run

TURN = 0.1  # seconds at least: beside it the clock and the waking of threads cost little


@dataclasses.dataclass(frozen=True)
class Times:
    """What a contestant took.

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


def settle(
    pause: int | float = 0.03,
    limit: int | float = 1.0,
    *,
    sleep: Callable[[float], None] = time.sleep,
    busy: Callable[[], float] = cpu_seconds,
) -> None:
    """Sleeps until the threads that measure sleep too, but no longer than ``limit`` seconds.

    OpenMP's threads spin after their work (Intel's for 0.2 s), and would slow whoever is next.
    """
    for _ in range(max(round(limit / pause), 1)):
        before = busy()
        sleep(float(pause))
        if busy() - before < 0.1 * pause:
            return


def interleave(
    contestants: Mapping[str, Run],
    rounds: int = 15,
    *,
    turn: int | float = TURN,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[], None] = settle,
    ready: Callable[[], None] = lambda: None,
) -> dict[str, Times]:
    """Times the contestants in turns, the order rotating by one each round.

    A turn is a rest, half as many units again to get up to speed, and the units that count.

    Args:
        contestants: by name; each is called once to compile, and then measured.
        rounds: turns of each.
        turn: seconds that a turn lasts at least; the unit is repeated to fill it. With 0 a turn is
            one unit.
        clock: seconds, from any zero.
        rest: called before each turn.
        ready: called once when all have compiled, before the first turn.
    """
    names = list(contestants)
    first: dict[str, float] = {}
    counts: dict[str, int] = {}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        rest()
        first[name] = _timed(contestants[name], 1, clock)
        counts[name] = _repetitions(contestants[name], turn, clock) if turn > 0 else 1
    ready()
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            rest()
            if counts[name] > 1:  # what slept takes a while to get up to speed
                contestants[name](math.ceil(counts[name] / 2))
            seconds[name].append(_timed(contestants[name], counts[name], clock) / counts[name])
    return {name: Times(first[name], counts[name], tuple(seconds[name])) for name in names}


def _repetitions(run: Run, turn: int | float, clock: Callable[[], float]) -> int:
    """How often a unit fits into a turn, by the quickest of some: a hiccup would make it one."""
    unit = min(_timed(run, 1, clock) for _ in range(2))
    if unit > 10 * turn:
        return 1
    unit = min(unit, _timed(run, 1, clock))
    if 0 < unit < turn:
        count = math.ceil(turn / unit / 4)
        unit = min(unit, _timed(run, count, clock) / count)
    return math.ceil(turn / unit) if unit > 0 else 1


def _timed(run: Run, count: int, clock: Callable[[], float]) -> float:
    started = clock()
    run(count)
    return clock() - started
