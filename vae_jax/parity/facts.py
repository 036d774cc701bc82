"""What a reader of a report must know beside its figures."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from vae_jax.parity.precision import Precision, jax_settings, products_in_jax
from vae_jax.training.run import environment
from vae_jax.typing import Tensors

_K_NOTE = (
    "below float64 the error that is judged is K: the port's distance from the reference run in "
    "float64 by the reference's own, both in this precision (root mean square over a tensor)"
)
_NOISE_NOTE = (
    "noise-fed: the gradient of a bias in front of a batch norm is zero in exact arithmetic; Adam "
    "normalises the rounding noise of either side, and the running means absorb it. Such gradients "
    "and moments are measured on the scale of their layer's weight"
)


def notes_of(noise_fed: tuple[str, ...], precision: Precision) -> tuple[str, ...]:
    """What a reader must know."""
    return (*([_NOISE_NOTE] if noise_fed else []), *([] if precision.is_exact else [_K_NOTE]))


def facts(
    name: str,
    precision: Precision,
    start: Tensors,
    *,
    seed: int,
    batch_size: int,
    steps: int,
    hyper: dict[str, Any],
) -> dict[str, Any]:
    """What a report's figures depend on."""
    given = {"hyper": hyper, "batch_size": batch_size, "steps": steps, "seed": seed}
    given["weights_sha256"] = hash_of(start)
    return {"model": name, **given, **settings_of(precision)}


def hash_of(tensors: Tensors) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def settings_of(precision: Precision) -> dict[str, Any]:
    """The precision, and what JAX is set to in it."""
    with jax_settings(precision):
        return {
            "precision": precision.name,
            "products": products_in_jax(precision),
            "environment": environment(),
        }
