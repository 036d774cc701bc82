"""Decode pictures in order, ahead of their use, by threads or processes.

Pillow releases the GIL while it decodes and resizes, but not while it opens a file and copies
pixels: 0.25 ms of the 1.4 ms to turn a JPEG of 320x320 into 256x256. On 2 cores, threads decoded
974 pictures per second and processes 1,061, but these took 3 s to start (medians of
``scripts/benchmarks/input.py``). With sleeps instead of the work without the GIL, 1, 2, 4, 8 and 16
threads reached 610, 1,180, 1,990, 2,590 and 2,490: threads scale to about four cores, and gain
nothing beyond eight.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import importlib.util
import itertools
import os
import pathlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

import numpy as np

from vae_jax.data.picture import open_picture, silence_pillow
from vae_jax.errors import DataError

T = TypeVar("T")
MAX_THREADS = 8
# Use processes from 8 cores on, where threads reach half the cores' speed (see above), and from
# 20,000 pictures on, which take threads 8 s, while processes take 3 s to start.
PROCESS_CORES = 8
PROCESS_PICTURES = 20_000
MAX_PROCESSES = 16  # each takes 200 MB, mostly for JAX, which grain imports
AHEAD = 64


class Pictures:
    """A folder's pictures, uint8 [N, H, W, C], decoded when they are indexed like an array.

    Attributes:
        shape: (N, height, width, channels).
        dtype: uint8.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        source: str,
        folder: pathlib.Path,
        names: Sequence[str],
        image_shape: tuple[int, int, int],
    ):
        """Store the arguments; nothing is read yet.

        Args:
            source: the source as the user gave it, for error messages.
            folder: the pictures' folder.
            names: their paths in it.
            image_shape: (height, width, channels) to resize them to.
        """
        self._source, self._folder, self._names = source, folder, names
        self.shape = (len(names), *image_shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Generator[np.ndarray, None, None]:
        """Yield the pictures in order; stop decoding when closed.

        Raises:
            DataError: a picture cannot be read.
        """
        return self._decode(np.arange(len(self)), AHEAD)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Decode a picture [H, W, C], or those of a slice or of numbers [B, H, W, C].

        Raises:
            IndexError: a picture does not exist.
            DataError: a picture cannot be read.
        """
        numbers = np.arange(len(self))[index]
        images = np.empty((numbers.size, *self.shape[1:]), np.uint8)
        with contextlib.closing(self._decode(numbers.ravel(), AHEAD)) as decoded:
            for place, image in enumerate(decoded):
                images[place] = image
        return images.reshape(*numbers.shape, *self.shape[1:])

    def batches(self, rows: np.ndarray) -> Generator[np.ndarray, None, None]:
        """Yield the pictures of each row of numbers, decoding two rows ahead.

        Args:
            rows: int [M, B].

        Yields:
            ``self[row]``, uint8 [B, H, W, C].

        Raises:
            DataError: a picture cannot be read.
        """
        size = rows.shape[1]
        with contextlib.closing(self._decode(rows.ravel(), max(AHEAD, 2 * size))) as decoded:
            for _ in range(len(rows)):
                yield np.stack(list(itertools.islice(decoded, size)))

    def _decode(self, numbers: np.ndarray, ahead: int) -> Generator[np.ndarray, None, None]:
        names = [self._names[int(number)] for number in numbers]
        return decode_pictures(self._source, self._folder, names, self.shape[1:], ahead=ahead)


def decode_pictures(
    source: str,
    folder: pathlib.Path,
    names: Sequence[str],
    image_shape: tuple[int, int, int],
    *,
    ahead: int = AHEAD,
    num_processes: int | None = None,
) -> Generator[np.ndarray, None, None]:
    """Yield pictures in the order of their names; stop the workers when closed.

    Args:
        source: the source as the user gave it, for error messages.
        folder: the pictures' folder.
        names: their paths in it.
        image_shape: the model's (height, width, channels).
        ahead: about how many to decode in advance.
        num_processes: 0 for threads; None for whatever is faster.

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
    return map_by_threads(read, names, ahead)


def _read(
    source: str, folder: pathlib.Path, image_shape: tuple[int, int, int], name: str
) -> np.ndarray:
    """Read one picture by ``open_picture``; defined here because processes must pickle it."""
    try:
        return open_picture(source, folder / name, image_shape)
    except DataError as error:
        raise DataError(f"{error}, or train with --skip-unreadable") from error


def map_by_threads(
    read: Callable[[str], T], names: Sequence[str], ahead: int
) -> Generator[T, None, None]:
    """Yield ``read(name)`` for each name in order, in threads that are ``ahead`` of it."""
    pool = concurrent.futures.ThreadPoolExecutor(min(MAX_THREADS, num_cores()))
    waiting: collections.deque[concurrent.futures.Future[T]] = collections.deque()
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
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
