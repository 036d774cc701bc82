"""The time that XLA spends compiling, as JAX reports it."""

from __future__ import annotations

import functools

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


def compile_seconds() -> float:
    """Return the seconds that this process has spent compiling since the first call.

    Reading compiled programs from the persistent cache counts; tracing does not.
    """
    return _clock()["seconds"]


@functools.cache
def _clock() -> dict[str, float]:
    clock = {"seconds": 0.0}

    def listen(event: str, duration_secs: int | float, **_: str | int) -> None:
        if event == _EVENT:
            clock["seconds"] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    return clock
