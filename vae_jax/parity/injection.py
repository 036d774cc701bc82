"""A port with a fault put in, compared with what its original computed once."""

from __future__ import annotations

import contextlib

import numpy as np

from vae_jax.models import create_model, get_spec
from vae_jax.parity.budgets import budgets_of
from vae_jax.parity.compare import compare, live
from vae_jax.parity.faults import HYPER, Fault
from vae_jax.parity.observe import observe
from vae_jax.parity.plans import plan_of
from vae_jax.parity.port import Port
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.probes import probe_of
from vae_jax.parity.references import create_reference
from vae_jax.parity.report import Report


class Injection:
    """A model's original, run once in float64, batch 2, one training step.

    Args:
        name: one of ``vae_jax.MODELS``.

    Raises:
        MissingExtraError: the original's framework is not installed.
    """

    def __init__(self, name: str):
        self.name, self.hyper = name, HYPER.get(name, {})
        self.reference = get_spec(name).reference
        self.noise_fed = self.reference.noise_fed(create_model(name, **self.hyper))
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
        self.expected = list(live(original, None, self.plan, self.noise_fed))

    def first_divergence(self, fault: Fault | None) -> tuple[str, str] | None:
        """Stage and place of the first broken budget with a fault, or without; None for none."""
        inject = contextlib.nullcontext() if fault is None else fault.inject(self.name)
        with inject:
            port = Port(self.name, np.float64, self.start, **self.hyper)
            rows = compare(
                iter(self.expected),
                observe(port, self.plan),
                PRECISIONS["float64"],
                budgets_of(self.reference),
                self.noise_fed,
                stop_early=True,
            )
        report = Report(self.name, tuple(rows))
        row = report.first_divergence
        return None if row is None else (row.stage, report.place(row))

    def is_right(self, fault: Fault, found: tuple[str, str] | None) -> bool:
        """Whether a divergence is where the fault is."""
        stage, place = fault.where[self.name]
        return found is not None and found[0].startswith(stage) and found[1] == place
