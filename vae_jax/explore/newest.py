"""Process only the newest request, as dragging a slider needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from vae_jax.errors import UserError

T = TypeVar("T")
_NOTHING: Any = object()


class Newest(Generic[T]):
    """A worker that processes one request at a time, and of waiting requests only the last.

    Args:
        work: computes a request's result; runs in a thread to keep the event loop free.
        show: receives the result, in the event loop.
        fail: receives a request's UserError, in the event loop.
    """

    def __init__(
        self,
        work: Callable[[T], Any],
        show: Callable[[Any], None],
        fail: Callable[[UserError], None],
    ):
        self._work, self._show, self._fail = work, show, fail
        self._wanted: T = _NOTHING
        self._task: asyncio.Task[None] | None = None

    def request(self, what: T) -> None:
        """Request a result, replacing a waiting request."""
        self._wanted = what
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._wanted is not _NOTHING:
            what, self._wanted = self._wanted, _NOTHING
            try:
                result = await asyncio.to_thread(self._work, what)
            except UserError as error:
                self._fail(error)
            else:
                self._show(result)
