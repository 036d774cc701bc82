"""How long XLA compiles, by JAX's own account."""

from __future__ import annotations

import functools
import math

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"


def compile_seconds() -> float:
    """Seconds that this process has spent in XLA's compiler since the first call, or in reading
    programs from the persistent cache in its place; tracing is not in it."""
    return math.fsum(_durations())


@functools.cache
def _durations() -> list[float]:
    found: list[float] = []

    def listen(event: str, duration_secs: int | float, **_: str | int) -> None:
        if event == _EVENT:
            found.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    return found
