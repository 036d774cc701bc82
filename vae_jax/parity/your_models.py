"""The same comparison for a port of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import numpy as np
import optax

from vae_jax.errors import UserError
from vae_jax.parity.backends.flax import FlaxBackend
from vae_jax.parity.compare import compare, live
from vae_jax.parity.facts import notes_of, settings_of
from vae_jax.parity.precision import PRECISIONS, Precision, precision_of
from vae_jax.parity.report import Report
from vae_jax.parity.stages import FURTHER, Plan, batches_of, inputs_held, observe, statistics_of
from vae_jax.parity.tolerances import Tolerances, tolerances_of
from vae_jax.spec import Rule
from vae_jax.typing import Tensors, Variables

Terms = dict[str, Any]


def compare_models(
    reference: Any,
    model: nn.Module,
    rules: Sequence[Rule],
    batches: Sequence[Sequence[Any]],
    *,
    reference_forward: Callable[..., Terms] | None = None,
    forward: Callable[..., Terms] | None = None,
    reference_loss: Callable[..., Terms] | None = None,
    loss: Callable[..., tuple[Terms, Any]] | None = None,
    reference_optimizer: Callable[[Any], Any] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    precision: str = "float64",
    heads: tuple[str, ...] = (),
    noise_fed: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    tolerances: Tolerances | None = None,
    title: str | None = None,
) -> Report:
    """Compares a Flax port with its PyTorch original through all stages: structure, read-back,
    activations layer by layer, outputs, loss terms, gradients, the optimiser by itself, one step,
    a run of steps.

    Args:
        reference: the ``torch.nn.Module``, with the weights to start from. A copy is used.
        model: the port. Submodules are told by their paths in the rules.
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
        noise_fed: tensors whose gradient is zero in exact arithmetic (a bias in front of a batch
            norm) and the running means that absorb them: they have tolerances of their own.
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
    import copy

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

    def terms(variables: Variables, *batch: Any) -> tuple[Terms, Any]:
        found, batch_stats = loss(*(variables, *batch)) if loss else ({}, {})
        if "loss" in found:
            raise UserError("a term is called 'loss', which is the sum's name: give terms alone")
        return {"loss": sum(found.values()), **found}, batch_stats

    port = FlaxBackend(
        rules,
        forward or (lambda variables, *batch: {"output": model.apply(variables, *batch)}),
        terms,
        lambda _: optimizer,  # pyright: ignore
        chosen,
    )
    steps = len(batches) - 1 if optimizer is not None else 0
    plan = Plan(
        start,
        lambda number: inputs_held(batches[number % FURTHER], chosen),
        optimizer,
        steps,
        heads=heads,
        statistics=statistics_of(rules) if loss is not None else frozenset(),
        batches=min(batches_of(start, chosen), len(batches)) if loss else 0,
    )
    rows = compare(
        live(truth, None if truth is original else original, plan, noise_fed),
        observe(port, plan),
        chosen,
        tolerances or tolerances_of(),
        noise_fed,
    )
    names = f"{type(model).__name__} against PyTorch's {type(reference).__name__}"
    facts = {"model": type(model).__name__, "steps": steps, **settings_of(chosen)}
    notes = notes_of(noise_fed, chosen)
    return Report(
        title or f"{names}, {precision}, {steps} training steps", tuple(rows), notes, facts
    )


def _accounted(tensors: Tensors, rules: Sequence[Rule], ignored: tuple[str, ...]) -> Tensors:
    """The tensors that have a rule, when that is all but the ignored ones."""
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
