"""Prepare batches in a background thread while the previous step runs."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Prefetch(Iterator[_Out]):
    """The iterator that ``prefetch`` returns."""

    def __init__(self, batches: Iterable[_In], transform: Callable[[_In], _Out] | None, depth: int):
        self._ready: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._free = threading.Semaphore(depth)
        stopped = threading.Event()
        # Neither the thread nor the finalizer refers to the iterator, so that dropping it stops the
        # thread; at exit the finalizer runs before daemon threads are killed.
        thread = threading.Thread(
            target=_fill,
            args=(batches, transform, self._ready, self._free, stopped),
            name="vae_jax prefetch",
            daemon=True,
        )
        self._stop = weakref.finalize(self, _stop, thread, self._free, stopped)
        thread.start()

    def __next__(self) -> _Out:
        if not self._stop.alive:
            raise StopIteration
        kind, item = self._ready.get()
        self._free.release()
        if kind == "item":
            return cast(_Out, item)
        self.close()
        raise StopIteration if kind == "end" else cast(BaseException, item)

    def close(self) -> None:
        """Stop the thread, wait for it, and drop the prepared items."""
        self._stop()
        self._ready = queue.SimpleQueue()


def prefetch(
    batches: Iterable[_In], transform: Callable[[_In], _Out] | None = None, depth: int = 2
) -> Prefetch[_Out]:
    """Run an iterable and a function of each item in a background thread.

    Args:
        batches: the iterable; if it has ``close``, it is closed when no more items are needed.
        transform: applied to each item in the thread, such as a copy to the device.
        depth: the most items that the thread is ahead, 1 or more.

    Returns:
        The items in order. An exception of ``batches`` or ``transform`` is raised in place of its
        item, as the last one. The thread stops at the end, at ``close``, or when the iterator is
        dropped.

    Raises:
        ValueError: the depth is below 1.
    """
    if depth < 1:
        raise ValueError(f"the depth is {depth}; expected 1 or more")
    return Prefetch(batches, transform, depth)


def _fill(
    batches: Iterable[_In],
    transform: Callable[[_In], _Out] | None,
    ready: queue.SimpleQueue[tuple[str, object]],
    free: threading.Semaphore,
    stopped: threading.Event,
) -> None:
    try:
        try:
            free.acquire()
            for item in batches:
                ready.put(("item", item if transform is None else transform(item)))
                del item  # to keep one batch less in memory while this waits
                free.acquire()
                if stopped.is_set():
                    return
        finally:
            if hasattr(batches, "close"):
                batches.close()  # pyright: ignore[reportAttributeAccessIssue]
        ready.put(("end", None))
    except BaseException as error:  # raised again in the consumer
        ready.put(("error", error))


def _stop(thread: threading.Thread, free: threading.Semaphore, stopped: threading.Event) -> None:
    stopped.set()
    free.release()
    if thread is not threading.current_thread():  # the finalizer may run in any thread
        thread.join()
