"""What both sides of a comparison are given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from vae_jax.convert.mapping import rules_of
from vae_jax.models import get_spec
from vae_jax.parity.precision import Precision
from vae_jax.parity.probes import Probe
from vae_jax.spec import Rule
from vae_jax.typing import Tensors

_BATCHES = 5  # below float64 gradients and first steps are measured on so many
_BATCHES_OF_LARGE = 3  # and of a model of over 10 million weights on so many


@dataclasses.dataclass(frozen=True)
class Plan:
    """What both sides are given.

    Attributes:
        start: weights and statistics.
        probe: from a number to a batch of inputs; 0 is for everything before the training steps,
            which take 1, 2, ...
        recipe: of the optimiser; None to leave everything after the gradients out.
        steps: training steps.
        heads: the layers that give the posterior or the latent; the outputs but the image come
            after the last of them.
        statistics: names of the running statistics; with any, layers compute something else in
            train mode.
        batches: how many batches the loss terms, gradients and first steps are measured on.
    """

    start: Tensors
    probe: Callable[[int], Sequence[Any]]
    recipe: Any
    steps: int
    heads: tuple[str, ...] = ()
    statistics: frozenset[str] = frozenset()
    batches: int = 1


def plan_of(
    name: str,
    precision: Precision,
    start: Tensors,
    probe: Callable[[int], Probe],
    steps: int,
    **hyper: Any,
) -> Plan:
    """What both sides are given: below float64, inputs that float32 holds exactly."""
    spec = get_spec(name)
    return Plan(
        start,
        lambda number: inputs_held(probe(number), precision),
        spec.recipe,
        steps,
        heads=spec.reference.heads,
        statistics=statistics_of(rules_of(name, **hyper)),
        batches=batches_of(start, precision),
    )


def statistics_of(rules: Iterable[Rule]) -> frozenset[str]:
    """The reference's names of the running statistics."""
    return frozenset(rule.source for rule in rules if rule.target[0] == "batch_stats")


def inputs_held(arrays: Sequence[Any], precision: Precision) -> list[Any]:
    """The inputs as both sides hold them exactly: below float64 rounded to float32."""
    if is_exact(precision):
        return list(arrays)
    held = [None if a is None else np.asarray(a) for a in arrays]
    return [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in held]


def batches_of(start: Tensors, precision: Precision) -> int:
    """How many batches gradients and first steps are measured on."""
    if is_exact(precision):
        return 1
    return _BATCHES_OF_LARGE if sum(t.size for t in start.values()) > 1e7 else _BATCHES


def is_exact(precision: Precision) -> bool:
    """Whether the reference's numbers in this precision are the truth."""
    return precision.name == "float64"
