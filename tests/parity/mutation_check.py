"""Ports with a mutation, compared with what their original computed once."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from vae_jax.parity.backends import create_reference
from vae_jax.parity.backends.flax import Port
from vae_jax.parity.compare import compare, live
from vae_jax.parity.observe import observe, plan_of
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.probes import probe_of
from vae_jax.parity.report import Report
from vae_jax.parity.stages import Stage
from vae_jax.parity.tolerances import tolerances_of

from .mutations import HYPER, Mutation

Place = tuple[Stage, str]
"""Stage and place of a divergence."""


class MutationCheck:
    """A model's original, run once in float64, batch 2, one training step.

    Args:
        name: one of ``vae_jax.MODELS``.
        **hyper: hyperparameters beside those of ``HYPER``, to make the model small.

    Raises:
        MissingExtraError: the original's framework is not installed.
    """

    def __init__(self, name: str, **hyper: Any):
        self.name, self.hyper = name, HYPER.get(name, {}) | hyper
        original = create_reference(name, np.float64, **self.hyper)
        self.start = original.state_dict()
        self.plan = plan_of(
            name,
            PRECISIONS["float64"],
            self.start,
            lambda number: probe_of(name, 2, 0, number, **self.hyper),
            1,
            **self.hyper,
        )
        self.expected = list(live(original, None, self.plan))

    def report(self, mutation: Mutation | None = None) -> Report:
        """Compare a port, up to the first observation over its tolerance."""
        with contextlib.nullcontext() if mutation is None else mutation.apply(self.name):
            rows = compare(
                iter(self.expected),
                observe(Port(self.name, np.float64, self.start, **self.hyper), self.plan),
                PRECISIONS["float64"],
                tolerances_of(self.name),
                self.plan.zero_gradient_tensors,
                stop_early=True,
            )
        return Report(self.name, tuple(rows))

    def first_divergence(self, mutation: Mutation | None = None) -> Place | None:
        """Return where a port first diverges; None for nowhere."""
        return place_of_divergence(self.report(mutation))

    def is_caught(self, mutation: Mutation, found: Place | None) -> bool:
        """Return whether a divergence is where the mutation is."""
        return found == mutation.where[self.name]


def place_of_divergence(report: Report) -> Place | None:
    """Return stage and place of a report's first divergence; None for nowhere."""
    row = report.first_divergence
    return None if row is None else (row.stage, report.place(row))
