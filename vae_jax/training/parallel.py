"""How the pure step meets the devices: the one file that compiles it."""

from __future__ import annotations

import jax

from vae_jax.training.step import TrainStep


def compile_step(train_step: TrainStep) -> TrainStep:
    """The step under ``jit``; the state it is given is donated to the one it returns."""
    return jax.jit(train_step, donate_argnums=0)
