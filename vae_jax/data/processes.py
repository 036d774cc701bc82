"""Pictures decoded by processes of grain, which are started and stopped here.

grain starts them with multiprocessing's "spawn", as is right in a program that runs JAX: a fork
would copy its locks. They import JAX, because grain does, but run nothing on it.
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

CHUNK = 16  # pictures that a process hands over at once


def decode_by_processes(
    read: Callable[[str], np.ndarray],
    names: Sequence[str],
    image_shape: tuple[int, int, int],
    ahead: int,
    num_processes: int,
) -> Generator[np.ndarray, None, None]:
    """Yields `read(name)` of each name in order, uint8 [H, W, C].

    Args:
      read: can be pickled.
      names: of the pictures.
      image_shape: of each of them.
      ahead: about how many are decoded before they are asked for.
      num_processes: 1 or more.

    Raises:
      DataError: as `read` does.
    """
    import grain
    from absl import flags

    # grain 0.2.18 reads a flag of its own, which absl refuses in a program that has parsed none.
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
            begin = list(itertools.islice(decoded, num_processes))  # now all have started
        for chunk in itertools.chain(begin, decoded):
            if isinstance(chunk, DataError):
                raise chunk
            yield from np.frombuffer(chunk, np.uint8).reshape(-1, *image_shape)


class _ReadChunk:
    """Reads a chunk in a process.

    Bytes pass through a pipe. An array would pass through shared memory, of which a container may
    have 64 MB: where it ends, the process is killed. An error that is raised gets a note of
    grain's about its traceback; one that is returned stays as it is.
    """

    def __init__(self, read: Callable[[str], np.ndarray]):
        self.read = read

    def __call__(self, names: Sequence[str]) -> bytes | DataError:
        try:
            return np.stack([self.read(name) for name in names]).tobytes()
        except DataError as error:
            return error


def _start_worker(index: int, count: int) -> None:
    """Leaves Ctrl-C to the main process, and ends where that one is killed."""
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
    """Hides the main module from processes started meanwhile.

    They would import it, and a script without `if __name__ == "__main__"` would run again in
    each; nothing of it is needed there.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
