"""Convert powers of Adam's betas to its step count and back.

Paddle and TensorFlow store no count but running products ``beta1 * beta1 * ...``, which start at
beta: after t steps they are beta**(t + 1), rounded after each step. Repeating the product in the
file's precision reproduces the file's numbers, so the count is exact while the product is above the
smallest normal number: in float32 some 830 steps for beta 0.9 and 87,000 for 0.999.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vae_jax.convert.optimizer import cannot_continue

MAX_PRODUCTS = 4_000_000  # most products to compute; a count that needs more is undetermined


def steps_of(powers: Sequence[tuple[float, np.ndarray]]) -> int:
    """Return the step count that the powers of both betas determine.

    Args:
        powers: pairs of a beta and its stored power, [] in the file's precision.

    Raises:
        CheckpointError: a power fits no step count, the two disagree, or both are too small.
    """
    counts = [(beta, _steps(beta, power)) for beta, power in powers]
    found = [(beta, steps) for beta, steps in counts if steps is not None]
    if not found:
        listed = " and ".join(f"{float(power):g}" for _, power in powers)
        raise cannot_continue(
            f"its powers of the betas ({listed}) are too small to determine the step count",
            "at least one within its precision",
        )
    if len({steps for _, steps in found}) > 1:
        listed = ", ".join(f"{steps} by {beta:g}" for beta, steps in found)
        raise cannot_continue(
            f"its powers of the betas give different step counts ({listed})",
            "the recipe's betas (train takes --beta1 and --beta2)",
        )
    return found[0][1]


def power_after(steps: int, beta: float, dtype: np.dtype) -> np.ndarray:
    """Return the power, [], that a framework stores after a number of steps in this precision."""
    if steps < MAX_PRODUCTS:
        return _products(beta, dtype, steps + 1)[-1:].reshape(())
    return np.asarray(beta ** (steps + 1), dtype)


def _steps(beta: float, power: np.ndarray) -> int | None:
    """Return the step count of one power; None if it is too small (or beta is 0)."""
    value = float(power)
    if not 0 <= value < 1:
        raise cannot_continue(f"its power of beta {beta:g} is {value:g}", "a number from 0 to 1")
    if beta == 0 or value < np.finfo(power.dtype).tiny:
        return None
    estimate = math.log(value) / math.log(beta)
    count = math.ceil(1.01 * estimate) + 2
    if count > MAX_PRODUCTS:
        return None
    products = _products(beta, power.dtype, count).astype(np.float64)
    steps = int(np.abs(products - value).argmin())
    # Another order of rounding moves the power slightly; half a step means another beta.
    if abs(products[steps] - value) > (1 - beta) / 4 * value:
        raise cannot_continue(
            f"its power {value:g} of beta {beta:g} fits no step count",
            "the recipe's betas (train takes --beta1 and --beta2)",
        )
    return steps


def _products(beta: float, dtype: np.dtype, count: int) -> np.ndarray:
    with np.errstate(under="ignore"):
        return np.multiply.accumulate(np.full(count, beta, dtype))
