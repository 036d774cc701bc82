"""Many pictures decoded in order, ahead of their use: by threads or, where it pays, processes.

Pillow gives up the GIL while it decodes and resizes, but not while it opens a file and copies
pixels: 0.25 ms of the 1.4 ms that a JPEG of 320x320 takes to become 256x256. On 2 cores threads
decoded 974 a second and processes, once started, 1,061, but their start took 3 s (medians of
`scripts/benchmarks/input.py`). With sleeps in place of all that gives up the GIL, 1, 2, 4, 8 and
16 threads reached 610, 1,180, 1,990, 2,590 and 2,490: beyond four cores threads fall behind the
cores, beyond eight they gain nothing.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import importlib.util
import os
import pathlib
from collections.abc import Callable, Generator, Sequence

import numpy as np

from vae_jax.data.opening import silence_pillow
from vae_jax.data.resize import open_picture

MAX_THREADS = 8
# Processes are started from so many cores on, where threads reach half of what the cores could do
# (above), and from so many pictures on: 8 s of the threads' work, where a start takes 3 s.
PROCESS_CORES = 8
PROCESS_PICTURES = 20_000
MAX_PROCESSES = 16  # of 200 MB each, most of it JAX, which grain imports
AHEAD = 64


def decode_pictures(
    source: str,
    folder: pathlib.Path,
    names: Sequence[str],
    image_shape: tuple[int, int, int],
    *,
    ahead: int = AHEAD,
    num_processes: int | None = None,
) -> Generator[np.ndarray, None, None]:
    """Yields pictures in the order of their names; closed early, it stops its workers.

    Args:
      source: the source as the user gave it, for the messages.
      folder: where the pictures lie.
      names: their paths in it.
      image_shape: the model's (height, width, channels).
      ahead: about how many are decoded before they are asked for.
      num_processes: 0 for threads; None for what is faster.

    Yields:
      uint8 [H, W, C].

    Raises:
      DataError: a picture cannot be read.
    """
    silence_pillow()  # before there are threads
    read = functools.partial(_read, source, folder, image_shape)
    if num_processes is None:
        num_processes = _processes_for(len(names))
    if num_processes:
        from vae_jax.data.processes import decode_by_processes

        return decode_by_processes(read, names, image_shape, ahead, num_processes)
    return _decode_by_threads(read, names, ahead)


def _read(
    source: str, folder: pathlib.Path, image_shape: tuple[int, int, int], name: str
) -> np.ndarray:
    """Reads one picture, as `open_picture`."""
    return open_picture(source, folder / name, image_shape)


def _decode_by_threads(
    read: Callable[[str], np.ndarray], names: Sequence[str], ahead: int
) -> Generator[np.ndarray, None, None]:
    pool = concurrent.futures.ThreadPoolExecutor(min(MAX_THREADS, num_cores()))
    waiting: collections.deque[concurrent.futures.Future[np.ndarray]] = collections.deque()
    try:
        for name in names:
            waiting.append(pool.submit(read, name))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _processes_for(num_pictures: int) -> int:
    cores = num_cores()
    if num_pictures < PROCESS_PICTURES or cores < PROCESS_CORES:
        return 0
    return min(cores, MAX_PROCESSES) if importlib.util.find_spec("grain") else 0


def num_cores() -> int:
    """The cores that this process may use, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
