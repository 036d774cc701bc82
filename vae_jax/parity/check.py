"""A port against its live reference: one of the package's, or one of your own.

Both start from the same weights and see the same images, noise, labels and batch order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import numpy as np
import optax
from numpy.typing import ArrayLike

from vae_jax.errors import UserError
from vae_jax.parity.backends import create_reference, versions
from vae_jax.parity.backends.flax import FlaxBackend, Port
from vae_jax.parity.compare import compare, live
from vae_jax.parity.observe import (
    FURTHER,
    Plan,
    batches_of,
    inputs_held,
    observe,
    plan_of,
    statistics_of,
)
from vae_jax.parity.precision import PRECISIONS, Precision, precision_of
from vae_jax.parity.probes import probe_of
from vae_jax.parity.report import Facts, Report, facts_of, notes_of, settings_of
from vae_jax.parity.tolerances import Tolerances, tolerances_of
from vae_jax.recipe import Recipe
from vae_jax.spec import Rule
from vae_jax.typing import Tensors, Variables

FlaxTerms = Mapping[str, Any]
"""Outputs or loss terms by name, made of what Flax's ``apply`` returns, which has no type."""

if TYPE_CHECKING:
    import torch

    TorchTerms = dict[str, torch.Tensor]
    TorchParameters = Iterable[torch.nn.Parameter]


def check_model(
    name: str,
    *,
    precision: str = "float64",
    steps: int = 20,
    batch_size: int = 4,
    seed: int = 0,
    tensors: Tensors | None = None,
    stop_early: bool = False,
    **hyper: object,
) -> Report:
    """Compare a port with its live reference, stage by stage.

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
    chosen = precision_of(precision)
    reference = create_reference(name, chosen, tensors, seed, **hyper)
    start = reference.state_dict()
    exact = (
        reference if chosen.is_exact else create_reference(name, np.float64, start, seed, **hyper)
    )
    plan = plan_of(
        name,
        chosen,
        start,
        lambda number: probe_of(name, batch_size, seed, number, **hyper),
        steps,
        **hyper,
    )
    rows = compare(
        live(exact, None if exact is reference else reference, plan),
        observe(Port(name, chosen, start, **hyper), plan),
        chosen,
        tolerances_of(name),
        plan.zero_gradient_tensors,
        stop_early=stop_early,
    )
    title = (
        f"{name}: the port against {versions(name)}, {precision}, batch {batch_size}, "
        f"{steps} training steps"
    )
    notes = notes_of(plan.zero_gradient_tensors, chosen)
    given = {"hyper": hyper, "batch_size": batch_size, "steps": steps, "seed": seed}
    return Report(title, tuple(rows), notes, facts_of(name, chosen, start, **given))


def compare_models(
    reference: torch.nn.Module,
    model: nn.Module,
    rules: Sequence[Rule],
    batches: Sequence[Sequence[ArrayLike]],
    *,
    reference_forward: Callable[..., TorchTerms] | None = None,
    forward: Callable[..., FlaxTerms] | None = None,
    reference_loss: Callable[..., TorchTerms] | None = None,
    loss: Callable[..., tuple[FlaxTerms, Any]] | None = None,
    reference_optimizer: Callable[[TorchParameters], torch.optim.Optimizer] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    precision: str = "float64",
    heads: tuple[str, ...] = (),
    zero_gradient_tensors: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    tolerances: Tolerances | None = None,
    title: str | None = None,
) -> Report:
    """Compare a Flax port of your own with its PyTorch original, through all stages.

    They are structure, read-back, activations layer by layer, outputs, loss terms, gradients, the
    optimiser by itself, one step and a run of steps.

    Args:
        reference: the ``torch.nn.Module``, with the weights to start from. A copy is used.
        model: the port. The rules name its submodules by their paths.
        rules: how each of the reference's tensors becomes a leaf of the port's variables;
            ``vae_jax.models.pytorch_rules`` has those of linear layers, convolutions and batch
            norms.
        batches: inputs, at least two different ones of at least two examples; both models get the
            same arrays. The first is for the layers, the first few for gradients and single
            steps; the run of steps takes all but the first.
        reference_forward: ``(module, *batch) -> outputs`` by name; default: ``{"output":
            module(*batch)}``. One that takes images with channels first transposes them here.
        forward: ``(variables, *batch) -> outputs`` under the same names and in the same layout,
            in eval mode; default: ``{"output": model.apply(variables, *batch)}``.
        reference_loss: ``(module, *batch) -> terms``, scalars by name, whose sum is minimised.
        loss: ``(variables, *batch) -> (terms, batch_stats)`` in train mode; ``batch_stats`` are the
            new ones, ``{}`` for a model without any. Without losses the comparison ends at the
            outputs.
        reference_optimizer: from parameters to a ``torch.optim.Optimizer``.
        optimizer: the same in Optax. Without these the comparison ends at the gradients.
        precision: a name of ``PRECISIONS``, of both models.
        heads: layers after which outputs other than ``image`` are computed; default: the last.
        zero_gradient_tensors: those whose gradient is zero in exact arithmetic (a bias in
            front of a batch norm), and the running means that absorb them: they have tolerances of
            their own.
        ignored: tensors of the reference that the port does not have, such as
            ``bn.num_batches_tracked``.
        tolerances: default: those of the package's models.
        title: of the report.

    Returns:
        The report: ``report.passed``, ``report.first_divergence``;
        ``vae_jax.parity.tables.table(report)`` and ``write_reports(folder, [report])`` show it.

    Raises:
        MissingExtraError: PyTorch is not installed.
        UserError: rules and tensors do not match, or one of a pair of functions is missing.
    """
    from vae_jax.parity.backends.pytorch import TorchBackend

    for name, pair in {
        "loss": (reference_loss, loss),
        "optimizer": (reference_optimizer, optimizer),
    }.items():
        if (pair[0] is None) != (pair[1] is None):
            raise UserError(
                f"reference_{name} and {name} belong together; expected both or neither"
            )
    if optimizer is not None and loss is None:
        raise UserError("an optimizer has nothing to minimise: give reference_loss and loss too")
    if len(batches) < 2 or any(not b or (np.shape(b[0]) or (0,))[0] < 2 for b in batches):
        raise UserError("expected at least two batches of at least two examples each")
    chosen = precision_of(precision)

    def backend(which: Precision) -> TorchBackend:
        return TorchBackend(
            copy.deepcopy(reference),
            reference_forward or (lambda module, *batch: {"output": module(*batch)}),
            reference_loss or (lambda module, *batch: {}),
            lambda _, parameters: reference_optimizer(parameters),  # pyright: ignore
            which,
        )

    original = backend(chosen)
    start = _accounted(original.state_dict(), rules, ignored)
    truth = original if chosen.is_exact else backend(PRECISIONS["float64"])
    original.ignored = truth.ignored = set(ignored)

    def outputs(variables: Variables, *batch: jax.Array) -> FlaxTerms:
        return {"output": model.apply(variables, *batch)}

    def terms(variables: Variables, *batch: jax.Array) -> tuple[FlaxTerms, Any]:
        found, batch_stats = loss(*(variables, *batch)) if loss else ({}, {})
        if "loss" in found:
            raise UserError("a term is called 'loss', which is the sum's name: give only the terms")
        return {"loss": sum(found.values()), **found}, batch_stats

    port = FlaxBackend(
        rules,
        forward or outputs,
        terms,
        lambda _: optimizer or optax.identity(),
        chosen,
    )
    steps = len(batches) - 1 if optimizer is not None else 0
    # Both make their own optimiser: of the recipe they take no more than the size of a step.
    recipe = Recipe(data="digits", epochs=1, batch_size=2, learning_rate=1e-3)
    plan = Plan(
        start,
        lambda number: inputs_held(batches[number % FURTHER], chosen),
        None if optimizer is None else recipe,
        steps,
        heads=heads,
        statistics=statistics_of(rules) if loss is not None else frozenset(),
        batches=min(batches_of(start, chosen), len(batches)) if loss else 0,
        zero_gradient_tensors=zero_gradient_tensors,
    )
    rows = compare(
        live(truth, None if truth is original else original, plan),
        observe(port, plan),
        chosen,
        tolerances or tolerances_of(),
        zero_gradient_tensors,
    )
    names = f"{type(model).__name__} against PyTorch's {type(reference).__name__}"
    facts: Facts = {"model": type(model).__name__, "steps": steps, **settings_of(chosen)}
    title = title or f"{names}, {precision}, {steps} training steps"
    return Report(title, tuple(rows), notes_of(zero_gradient_tensors, chosen), facts)


def _accounted(tensors: Tensors, rules: Sequence[Rule], ignored: tuple[str, ...]) -> Tensors:
    """Return the tensors that have a rule, when that is all but the ignored ones."""
    named = [rule.source for rule in rules]
    problems = [f"the reference has no {name}" for name in named if name not in tensors]
    problems += [f"no rule for {name}" for name in tensors if name not in {*named, *ignored}]
    problems += [f"two rules for {name}" for name in {n for n in named if named.count(n) > 1}]
    if problems:
        raise UserError(
            f"rules and tensors do not match: {'; '.join(problems[:12])}; give a Rule for each "
            "tensor, or name it in ignored"
        )
    return {name: tensors[name] for name in named}
