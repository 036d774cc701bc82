"""Read the state of TensorFlow 1's ``AdamOptimizer`` in a ``Saver`` checkpoint, and build it.

Each variable has two slots, ``w/Adam`` and ``w/Adam_1``; the powers of the betas are stored once.
An optimiser made inside a scope puts the scope before the powers (``train/beta1_power``), and one
inside a variable scope before the slots too (``train/w/Adam``). The settings are constants of the
graph and are not stored, except a learning rate that is a variable of that name.
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
AVERAGE = "ExponentialMovingAverage"
"""The name of the shadows of ``tf.train.ExponentialMovingAverage``, which are no optimiser's."""
_RATES = ("learning_rate", "lr")
_SECOND_ADAM = re.compile(r"(?:.+/)?(?:beta[12]_power_\d+|[^/]+/Adam_(?:[2-9]|\d\d+))")


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
    slots = _slots(tensors, shapes)
    powers: dict[str, dict[str, np.ndarray]] = {}  # scope -> name -> power
    for name, array in tensors.items():
        scope, _, power = name.rpartition("/")
        if power in POWERS:
            powers.setdefault(scope, {})[power] = array
    adams = [key for key in slots if key[1] in SLOTS.values()]
    kinds = dict.fromkeys(slot for _, slot in slots)
    if not adams and kinds:
        raise cannot_continue(
            f"holds an optimiser's slots named {next(iter(kinds))!r:.80}",
            "those of AdamOptimizer, named Adam and Adam_1",
        )
    if not adams and not powers:
        return None
    others = [name for name in tensors if _SECOND_ADAM.fullmatch(name)]
    for scopes in (powers, dict.fromkeys(scope for scope, _ in adams)):
        others += [f"{scope}/..." for scope in list(scopes)[1:]]
    if others:
        raise cannot_continue(f"holds the state of several Adams ({others[0]!r:.80})", "one")
    stored = [array for _, array in sorted(next(iter(powers.values()), Tensors()).items())]
    if len(stored) < 2 or any(p.size != 1 or p.dtype.kind != "f" for p in stored):
        raise cannot_continue(
            "holds Adam's slots without beta1_power and beta2_power, a number each", "both"
        )
    betas = (recipe.beta1, recipe.beta2)
    steps = steps_of([(b, p.reshape(())) for b, p in zip(betas, stored, strict=True)])
    moments = {slot: found for (_, slot), found in slots.items()}
    exp_avg, exp_avg_sq = (moments.get(slot, {}) for slot in SLOTS.values())
    adam = AdamState(steps, exp_avg, exp_avg_sq, _settings(tensors))
    check_adam(adam, shapes)
    return adam


def _settings(tensors: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the learning rate if exactly one variable holds it."""
    rates = [
        float(array.reshape(()))
        for name, array in tensors.items()
        if name.rpartition("/")[2] in _RATES and array.size == 1 and array.dtype.kind == "f"
    ]
    return {"learning_rate": rates[0]} if len(rates) == 1 and np.isfinite(rates[0]) else {}


def _slots(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[tuple[str, str], Tensors]:
    """Return the slots of the model's parameters, by scope and slot, except their averages."""
    found: dict[tuple[str, str], Tensors] = {}
    for name, array in tensors.items():
        owner, _, slot = name.rpartition("/")
        for parameter in shapes:
            if f"/{owner}".endswith(f"/{parameter}") and slot != AVERAGE:
                scope = owner.removesuffix(parameter).rstrip("/")
                found.setdefault((scope, slot), {})[parameter] = array
    return found


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
