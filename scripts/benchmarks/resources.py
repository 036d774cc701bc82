"""What a process holds while it works: memory, open handles and threads, as Linux tells of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.memory import resident

MIB, KIB = 2**20, 2**10


class Sample(NamedTuple):
    """A look at a process.

    Attributes:
        step: the last one that it was told of.
        seconds: since the sampler began.
        resident: bytes in memory.
        handles: open files, sockets and pipes.
        threads: of all libraries.
    """

    step: int
    seconds: float
    resident: int
    handles: int
    threads: int


class Sampler:
    """Looks at this process every so often, in a thread of its own, until it is closed.

    Attributes:
        step: set by whoever works.
        samples: so far.
    """

    def __init__(self, every: float = 0.05):
        self.step, self.samples = 0, list[Sample]()
        self._every, self._started = every, time.perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vae_jax sampler", daemon=True)
        self._thread.start()

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Looks now, too."""
        seconds = time.perf_counter() - self._started
        self.samples.append(Sample(self.step, seconds, *look()))

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.look()


def look() -> tuple[int, int, int]:
    """Bytes in memory, open handles and threads of this process, now."""
    handles = len(os.listdir("/proc/self/fd")) - 1  # the one that lists them
    return resident(), handles, len(os.listdir("/proc/self/task"))


def growth(samples: Sequence[Sample], skip: float = 0.2) -> tuple[float, float, float]:
    """The least-squares line through the samples of all but the first steps.

    Args:
        samples: in order.
        skip: share of the steps that are left out, in which programs are compiled and pools fill.

    Returns:
        Its slope in bytes and in handles per 1,000 steps, and twice the standard error of the
        first. Of the samples of one step the median counts.
    """
    last = samples[-1].step
    by_step: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.step >= skip * last:
            by_step.setdefault(sample.step, []).append(sample)
    steps = np.array(sorted(by_step), float) / 1000
    resident, handles = (
        np.array([np.median([getattr(s, name) for s in by_step[n]]) for n in sorted(by_step)])
        for name in ("resident", "handles")
    )
    centred = steps - steps.mean()
    spread = float((centred**2).sum())
    slopes = [float((centred * values).sum() / spread) for values in (resident, handles)]
    rest = resident - resident.mean() - slopes[0] * centred
    error = float(np.sqrt((rest**2).sum() / max(len(steps) - 2, 1) / spread))
    return slopes[0], slopes[1], 2 * error
