"""How long XLA compiles, by JAX's own account."""

from __future__ import annotations

import functools

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


def compile_seconds() -> float:
    """Seconds that this process has spent in XLA's compiler since the first call, or in reading
    programs from the persistent cache in its place; tracing is not in it."""
    return _clock()["seconds"]


@functools.cache
def _clock() -> dict[str, float]:
    clock = {"seconds": 0.0}

    def listen(event: str, duration_secs: int | float, **_: str | int) -> None:
        if event == _EVENT:
            clock["seconds"] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    return clock
