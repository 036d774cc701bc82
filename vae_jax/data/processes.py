"""Decode pictures in grain's worker processes.

grain starts them by multiprocessing's "spawn", because a fork would copy JAX's locks. They import
JAX, because grain does, but run nothing on it.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np

from vae_jax.errors import DataError

CHUNK = 16  # pictures that a process sends at once


def decode_by_processes(
    read: Callable[[str], np.ndarray],
    names: Sequence[str],
    image_shape: tuple[int, int, int],
    ahead: int,
    num_processes: int,
) -> Generator[np.ndarray, None, None]:
    """Yield ``read(name)`` for each name in order, uint8 [H, W, C].

    Args:
        read: can be pickled.
        names: of the pictures.
        image_shape: of each of them.
        ahead: about how many are decoded before they are asked for.
        num_processes: 1 or more.

    Raises:
        DataError: as ``read`` does.
    """
    import grain
    from absl import flags

    # grain 0.2.18 reads an absl flag, which fails in a program that has parsed no flags.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    chunks = [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
    own_thread = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    each = max(2, -(-ahead // (CHUNK * num_processes)))
    data = grain.MapDataset.source(chunks).map(_ReadChunk(read)).to_iter_dataset(own_thread)
    data = data.mp_prefetch(
        grain.MultiprocessingOptions(num_processes, per_worker_buffer_size=each), _start_worker
    )
    with contextlib.closing(iter(data)) as decoded:
        with _without_main():
            begin = list(itertools.islice(decoded, num_processes))  # until all have started
        for chunk in itertools.chain(begin, decoded):
            if isinstance(chunk, DataError):
                raise chunk
            yield from np.frombuffer(chunk, np.uint8).reshape(-1, *image_shape)


class _ReadChunk:
    """A function that reads a chunk in a worker process.

    It returns bytes, which go through a pipe: arrays would go through shared memory, of which a
    container may have only 64 MB before the process is killed. It returns errors instead of raising
    them, because grain would add a note about the traceback.
    """

    def __init__(self, read: Callable[[str], np.ndarray]):
        self.read = read

    def __call__(self, names: Sequence[str]) -> bytes | DataError:
        try:
            return np.stack([self.read(name) for name in names]).tobytes()
        except DataError as error:
            return error


def _start_worker(index: int, count: int) -> None:
    """Leave Ctrl-C to the main process, and end when it is killed."""
    import warnings

    warnings.simplefilter("ignore")  # as in decode.py
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module from processes that start meanwhile.

    They would import it, which would rerun a script without ``if __name__ == "__main__"``.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
