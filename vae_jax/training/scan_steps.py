"""Many steps as one program, over images on the device."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Callable

import jax  # many of its functions have no full hints
import jax.numpy as jnp

from vae_jax.objectives import Batch
from vae_jax.training.state import TrainState
from vae_jax.training.step import Metrics, TrainStep
from vae_jax.typing import Key

_Carry = tuple[jax.Array, jax.Array, TrainState, Metrics]


def scan_steps(train_step: TrainStep, size: int) -> Callable[..., tuple[TrainState, Metrics]]:
    """Return a function that takes many steps in one call, over images on the device.

    It ends early after a step whose ``metrics["going"]`` is false.

    Args:
        train_step: the step, not compiled.
        size: the largest number of steps in a call.

    Returns:
        ``(state, data, plan, first, stop, key) -> (state, metrics)``. ``data`` holds ``image`` and
        perhaps ``label`` of all examples [N, ...], ``plan`` the ``rows`` [steps, B] of the batches
        and perhaps their ``mask``. Steps ``first`` to ``stop - 1`` of the plan are taken; their
        metrics, [size], are padded with zeros. Changing ``first`` or ``stop`` does not recompile,
        so each step is the same program however steps are grouped into calls.
    """

    def loop(
        state: TrainState, data: Batch, plan: Batch, first: jax.Array, stop: jax.Array, key: Key
    ) -> tuple[TrainState, Metrics]:
        def batch(step: jax.Array) -> Batch:
            rows, *rest = (plan[name][step] for name in ("rows", "mask") if name in plan)
            chosen = {name: array[rows] for name, array in data.items()}
            return chosen | ({"mask": rest[0]} if rest else {})

        def unfinished(carry: _Carry) -> jax.Array:
            step, going, *_ = carry
            return going & (step < stop)

        def body(carry: _Carry) -> _Carry:
            step, _, state, kept = carry
            state, metrics = train_step(state, batch(step), key)
            kept = {name: rows.at[step - first].set(metrics[name]) for name, rows in kept.items()}
            return step + 1, metrics["going"], state, kept

        _, metrics = jax.eval_shape(lambda: train_step(state, batch(first), key))
        kept = {name: jnp.zeros((size,), one.dtype) for name, one in metrics.items()}
        carry = jax.lax.while_loop(unfinished, body, (first, jnp.bool(True), state, kept))
        return carry[2:]

    return loop
