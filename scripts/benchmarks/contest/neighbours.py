"""How busy the machine is: by other processes during a measurement, and by what still spins."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from contest.processes import cpu_seconds

TOO_BUSY = 0.05  # of the machine: from here on times and even ratios are not to be trusted


class Neighbours:
    """Measures from its start on, the first of which is its making."""

    def __init__(self):
        self.start()

    def start(self) -> None:
        """Forgets what was before."""
        self.wall, self.all, self.own = time.perf_counter(), _busy(), cpu_seconds()

    def share(self) -> float | None:
        """The part of the machine's processor time that went to others; None where the system does
        not tell (Linux does)."""
        busy = _busy()
        if busy is None or self.all is None:
            return None
        others = (busy - self.all) - (cpu_seconds() - self.own)
        available = (time.perf_counter() - self.wall) * (os.cpu_count() or 1)
        return min(max(others / available, 0.0), 1.0)


def _busy() -> float | None:
    """Seconds that all processors together have worked, or were kept from it by their host."""
    with contextlib.suppress(OSError, ValueError):
        user, nice, system, _, _, irq, softirq, steal = map(
            int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
        )
        ticks = user + nice + system + irq + softirq + steal
        return ticks / os.sysconf("SC_CLK_TCK")
    return None


def settle(
    pause: int | float = 0.03,
    limit: int | float = 1.0,
    *,
    sleep: Callable[[float], None] = time.sleep,
    busy: Callable[[], float] = cpu_seconds,
) -> None:
    """Sleep until the threads that measure sleep too, but no longer than ``limit`` seconds.

    OpenMP's threads spin after their work (Intel's for 0.2 s), and would slow whoever is next.
    """
    for _ in range(max(round(limit / pause), 1)):
        before = busy()
        sleep(float(pause))
        if busy() - before < 0.1 * pause:
            return
