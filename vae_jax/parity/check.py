"""A port against its live reference: forward, loss terms, gradients, and a run of training steps.

Both start from the same weights and see the same images, noise and batch order. Errors are
relative to the largest magnitude of the reference's tensor.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from vae_jax.models import create_model, get_spec
from vae_jax.parity.port import Port
from vae_jax.parity.probes import Probe, probes_of
from vae_jax.parity.references import create_reference, versions
from vae_jax.parity.report import Report, Row, compare
from vae_jax.typing import Tensors


@dataclasses.dataclass(frozen=True)
class Budgets:
    """The largest errors that pass.

    ``trained`` is for weights, moments and statistics after the steps; ``noise_fed`` for the
    tensors that the model's Reference names so. None: not judged.
    """

    forward: float
    gradients: float
    losses: float
    trained: float | None
    noise_fed: float | None


def budgets_of(name: str, precision: str) -> Budgets:
    """The budgets of a model.

    Float32 gradients and losses are compared with the reference run in float64: its own float32
    gradients can be 5e-3 from them, and Adam magnifies that.
    """
    reference = get_spec(name).reference
    if precision == "float32":
        # What magnifies float64's rounding magnifies float32's as much.
        magnified = reference.losses_budget / 1e-12
        return Budgets(1e-5, 1e-4 * magnified, 1e-5 * magnified, None, None)
    return Budgets(1e-13, 1e-12, reference.losses_budget, reference.trained_budget, 1e-6)


K = 2.0  # how many times as far from the truth as the reference a float32 port may stray

_TRUTH_NOTE = (
    "float32 gradients and losses are compared with the reference run in float64; the losses' "
    f"budget is {K:g} times the reference's own worst distance from it, where that is the larger"
)
NOISE_NOTE = (
    "the gradient of a bias in front of a batch norm is zero in exact arithmetic; such gradients "
    "and moments are rounding noise and are measured on the scale of their layer's weight"
)


def check_model(
    name: str,
    *,
    precision: str = "float64",
    steps: int = 20,
    batch_size: int = 4,
    seed: int = 0,
    tensors: Tensors | None = None,
    **hyper: Any,
) -> Report:
    """Compares a port with its live reference.

    Args:
        name: one of ``vae_jax.MODELS``.
        precision: ``float64`` (needs ``jax_enable_x64``) or ``float32``, on both sides.
        steps: training steps.
        batch_size: images a batch, at least 2.
        seed: of the reference's initial weights and of the probes.
        tensors: weights to start from; default: the reference's initialisation.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Raises:
        MissingExtraError: the reference's framework is not installed.
    """
    dtype, budgets = np.dtype(precision), budgets_of(name, precision)
    noise_fed = get_spec(name).reference.noise_fed(create_model(name, **hyper))
    reference = create_reference(name, dtype, tensors, seed, **hyper)
    start = reference.state_dict()
    probes = probes_of(name, batch_size, seed, steps + 1, **hyper)
    truth = (
        reference if precision == "float64" else create_reference(name, np.float64, start, **hyper)
    )
    port = Port(name, dtype, start, **hyper)
    rows = check_gradients(noise_fed, reference, truth, port, next(probes), budgets)
    # Afresh: the gradients above have moved the running statistics.
    reference = create_reference(name, dtype, start, **hyper)
    port = Port(name, dtype, start, **hyper)
    notes = [NOISE_NOTE] if noise_fed else []
    if precision == "float64":
        rows += check_training(noise_fed, reference, port, list(probes), budgets)
    else:
        truth = create_reference(name, np.float64, start, **hyper)
        rows += check_losses(truth, reference, port, list(probes), budgets)
        notes.append(_TRUTH_NOTE)
    title = (
        f"{name}: the port against {versions(name)}, {precision}, batch {batch_size}, "
        f"{steps} training steps"
    )
    return Report(title, tuple(rows), tuple(notes))


def check_gradients(
    noise_fed: tuple[str, ...],
    reference: Any,
    truth: Any,
    port: Port,
    probe: Probe,
    budgets: Budgets,
) -> list[Row]:
    """Outputs in eval mode; loss terms and every gradient in train mode.

    ``truth`` is the reference in float64, which the gradients and loss terms are compared with;
    ``noise_fed`` names the tensors that the model's Reference calls so.
    """
    rows = compare("forward", reference.forward(*probe), port.forward(*probe), budgets.forward)
    terms, gradients = truth.backward(*probe)
    port_terms, port_gradients = port.backward(*probe)
    rows += compare("loss terms", terms, port_terms, budgets.losses)
    scales = _noise_scales(noise_fed, gradients)
    return rows + compare("gradients", gradients, port_gradients, budgets.gradients, scales)


def check_training(
    noise_fed: tuple[str, ...], reference: Any, port: Port, probes: list[Probe], budgets: Budgets
) -> list[Row]:
    """A training step a probe on both sides: the losses on the way, the state at the end."""
    recipe = get_spec(port.name).recipe
    losses, port_losses = {}, {}
    for number, probe in enumerate(probes, 1):
        for side, into in ((reference, losses), (port, port_losses)):
            terms = side.step(recipe, *probe)
            into |= {f"{term} at step {number}": value for term, value in terms.items()}
    rows = compare(f"losses, {len(probes)} steps", losses, port_losses, budgets.losses)
    if budgets.trained is None or not probes:
        return rows

    def judge(stage: str, expected: Tensors, found: Tensors, scales: dict[str, float]) -> None:
        for names, budget, label in (
            ([n for n in expected if n not in noise_fed], budgets.trained, stage),
            ([n for n in expected if n in noise_fed], budgets.noise_fed, f"{stage}, noise-fed"),
        ):
            if names and budget is not None:
                mine, theirs = ({n: side[n] for n in names} for side in (expected, found))
                rows.extend(compare(label, mine, theirs, budget, scales))

    judge("weights and statistics", reference.state_dict(), port.state_dict(), {})
    for moment, expected in reference.moments().items():
        judge(moment, expected, port.moments()[moment], _noise_scales(noise_fed, expected))
    return rows


def check_losses(
    truth: Any, reference: Any, port: Port, probes: list[Probe], budgets: Budgets
) -> list[Row]:
    """A float32 training step a probe: how far each loss term strays from the float64 run.

    Two correct float32 runs part, because Adam magnifies rounding, so no fixed tolerance means
    anything. The port may stray K times as far as the reference itself does.
    """
    recipe, sides = get_spec(port.name).recipe, (truth, reference, port)
    worst: dict[str, np.ndarray] = {}  # of the reference and of the port
    for probe in probes:
        exact, *others = (side.step(recipe, *probe) for side in sides)
        for term, value in exact.items():
            errors = [abs(other[term] - value) / max(abs(value), 1e-300) for other in others]
            worst[term] = np.maximum(worst.get(term, np.zeros(2)), errors)  # NaN stays
    return [
        Row(f"losses, {len(probes)} steps", term, float(found), max(budgets.losses, K * float(own)))
        for term, (own, found) in worst.items()
    ]


def _noise_scales(noise_fed: tuple[str, ...], tensors: Tensors) -> dict[str, float]:
    """For each noise-fed bias, the magnitude of its layer's weight in the same collection."""
    biases = [n for n in noise_fed if n.endswith(".bias")]
    return {n: float(np.abs(tensors[n.removesuffix("bias") + "weight"]).max()) for n in biases}
