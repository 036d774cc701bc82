"""Read the state of TensorFlow 1's ``AdamOptimizer`` in a ``Saver`` checkpoint, and build it.

Each variable has two slots, ``w/Adam`` and ``w/Adam_1``; the powers of the betas are stored once.
The settings are constants of the graph and are not stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vae_jax.convert.beta_powers import power_after, steps_of
from vae_jax.convert.optimizer import AdamState, cannot_continue, check_adam
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

SLOTS = {"exp_avg": "Adam", "exp_avg_sq": "Adam_1"}
POWERS = ("beta1_power", "beta2_power")


def find_tf_adam(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], recipe: Recipe
) -> AdamState | None:
    """Find the Adam state among a checkpoint's variables.

    Args:
        tensors: all of the checkpoint's variables.
        shapes: the shapes of the model's parameters.
        recipe: the betas that the original was trained with.

    Returns:
        The state; None if the checkpoint has neither slots nor powers.

    Raises:
        CheckpointError: training cannot be continued from it.
    """
    moments = {
        moment: {k: tensors[f"{k}/{slot}"] for k in shapes if f"{k}/{slot}" in tensors}
        for moment, slot in SLOTS.items()
    }
    powers = [tensors[name] for name in POWERS if name in tensors]
    if not powers and not any(moments.values()):
        return None
    others = [n for n in tensors if re.fullmatch(r"beta\d_power_\d+|.+/Adam_([2-9]|\d\d+)", n)]
    if others:
        raise cannot_continue(f"holds the state of several Adams ({others[0]!r:.80})", "one")
    if len(powers) < 2 or any(p.size != 1 or p.dtype.kind != "f" for p in powers):
        raise cannot_continue(
            "holds Adam's slots without beta1_power and beta2_power, a number each", "both"
        )
    betas = (recipe.beta1, recipe.beta2)
    steps = steps_of([(b, p.reshape(())) for b, p in zip(betas, powers, strict=True)])
    adam = AdamState(steps, moments["exp_avg"], moments["exp_avg_sq"], {})
    check_adam(adam, shapes)
    return adam


def tf_variables(adam: AdamState, recipe: Recipe) -> Tensors:
    """Return the slots and powers that the original's ``Saver`` restores beside the variables."""
    found = {
        f"{name}/{slot}": array
        for slot, tensors in zip(SLOTS.values(), (adam.exp_avg, adam.exp_avg_sq), strict=True)
        for name, array in tensors.items()
    }
    dtype = next(iter(adam.exp_avg.values())).dtype
    for name, beta in zip(POWERS, (recipe.beta1, recipe.beta2), strict=True):
        found[name] = power_after(adam.step, beta, dtype)
    return found
