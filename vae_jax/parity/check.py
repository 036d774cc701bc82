"""A port of the package against its live reference.

Both start from the same weights and see the same images, noise, labels and batch order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.models import create_model, get_spec
from vae_jax.parity.backends import create_reference, versions
from vae_jax.parity.backends.flax import Port
from vae_jax.parity.compare import compare, live
from vae_jax.parity.facts import facts, notes_of
from vae_jax.parity.precision import precision_of
from vae_jax.parity.probes import probe_of
from vae_jax.parity.report import Report
from vae_jax.parity.stages import observe, plan_of
from vae_jax.parity.tolerances import tolerances_of
from vae_jax.typing import Tensors


def check_model(
    name: str,
    *,
    precision: str = "float64",
    steps: int = 20,
    batch_size: int = 4,
    seed: int = 0,
    tensors: Tensors | None = None,
    stop_early: bool = False,
    **hyper: Any,
) -> Report:
    """Compares a port with its live reference, stage by stage.

    Args:
        name: one of ``vae_jax.MODELS``.
        precision: a name of ``PRECISIONS``, of both models.
        steps: training steps.
        batch_size: images a batch, at least 2.
        seed: of the reference's initial weights and of the probes.
        tensors: weights to start from; default: the reference's initialisation.
        stop_early: stop after the first observation over its tolerance.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Raises:
        MissingExtraError: the reference's framework is not installed.
    """
    chosen, spec = precision_of(precision), get_spec(name)
    reference = create_reference(name, chosen, tensors, seed, **hyper)
    start = reference.state_dict()
    exact = reference if chosen.is_exact else create_reference(name, np.float64, start, **hyper)
    noise_fed = spec.reference.noise_fed(create_model(name, **hyper))
    plan = plan_of(
        name,
        chosen,
        start,
        lambda number: probe_of(name, batch_size, seed, number, **hyper),
        steps,
        **hyper,
    )
    rows = compare(
        live(exact, None if exact is reference else reference, plan, noise_fed),
        observe(Port(name, chosen, start, **hyper), plan),
        chosen,
        tolerances_of(name),
        noise_fed,
        stop_early=stop_early,
    )
    title = (
        f"{name}: the port against {versions(name)}, {precision}, batch {batch_size}, "
        f"{steps} training steps"
    )
    notes = notes_of(noise_fed, chosen)
    given = {"seed": seed, "batch_size": batch_size, "steps": steps, "hyper": hyper}
    return Report(title, tuple(rows), notes, facts(name, chosen, start, **given))
