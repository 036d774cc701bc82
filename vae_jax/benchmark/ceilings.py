"""The machine's own ceilings, measured with JAX on its default device in a second or two."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_MOVED = 2**29  # bytes that one measurement of a copy reads and writes, on a CPU
_SIDE = {"cpu": 2048}  # of the square product; elsewhere 8192


class Ceilings(NamedTuple):
    """What the machine can do.

    Attributes:
        flops: FLOP a second of a large square product.
        copies: size of an array in bytes -> bytes a second, read and written, of passing over it
            again and again; a small one stays in a cache.
    """

    flops: float
    copies: dict[int, float]

    def copy(self, resident: int | float) -> float:
        """Bytes a second for work that goes over so many bytes again and again."""
        fitting = [size for size in self.copies if size >= resident]
        return self.copies[min(fitting) if fitting else max(self.copies)]


def measure_ceilings(*, side: int | None = None, sizes: tuple[int, ...] | None = None) -> Ceilings:
    """Measures both, in the matmul precision that JAX is set to.

    Args:
        side: of the square product.
        sizes: of the arrays that are passed over, in bytes.
    """
    is_cpu = jax.default_backend() == "cpu"
    side = side or _SIDE.get(jax.default_backend(), 8192)
    sizes = sizes or tuple(2**n for n in ((20, 22, 24, 26, 28) if is_cpu else (24, 26, 28, 30)))
    flops, copies = 0.0, dict.fromkeys(sizes, 0.0)
    for _ in range(2):  # apart in time, lest something else was running
        square = jnp.ones((side, side), jnp.float32)
        flops = max(flops, 2 * side**3 / _quickest(functools.partial(jnp.dot, square, square)))
        del square
        for size in sizes:
            passes = max(_MOVED * (1 if is_cpu else 16) // (2 * size), 1)
            speed = 2 * size * passes / _quickest(_Passes(size, passes))
            copies[size] = max(copies[size], speed)
    return Ceilings(flops, copies)


class _Passes:
    """Multiplies an array by a number in place, as an optimiser passes over the weights."""

    def __init__(self, size: int, passes: int):
        self.array, self.passes = jnp.ones(size // 4, jnp.float32), passes

    def __call__(self) -> Any:
        self.array = _pass_over(self.array, self.passes)
        return self.array


@functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
def _pass_over(array: Any, passes: int) -> Any:
    return jax.lax.fori_loop(0, passes, lambda _, x: x * jnp.float32(0.9999999), array)


def _quickest(function: Callable[[], Any], seconds: float = 0.1) -> float:
    """The shortest time of a call; a ceiling is what the machine does when undisturbed."""
    jax.block_until_ready(function())
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        started = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - started)
    return min(times)
