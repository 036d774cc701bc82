"""What every backend computes for a comparison, and in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.convert.mapping import rules_of
from vae_jax.models import get_spec
from vae_jax.parity.backends import Backend, Input, Value
from vae_jax.parity.layers import zero_gradient_tensors
from vae_jax.parity.precision import Precision
from vae_jax.parity.stages import Kind, Phase, Stage
from vae_jax.recipe import Recipe
from vae_jax.spec import Rule
from vae_jax.typing import Tensors

UPDATES = 10  # of the optimiser by itself
FURTHER = 50_000  # numbers of the further batches for gradients, after those of training steps
_SIZE = 512  # of the parameter that they move
_BATCHES = 5  # below float64 gradients and first steps are measured on so many
_BATCHES_OF_LARGE = 3  # and of a model of over 10 million weights on so many


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every backend of a comparison is given.

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
        zero_gradient_tensors: tensors whose gradient is zero in exact arithmetic, and the running
            means that absorb them.
    """

    start: Tensors
    probe: Callable[[int], Sequence[Input]]
    recipe: Recipe | None
    steps: int
    heads: tuple[str, ...] = ()
    statistics: frozenset[str] = frozenset()
    batches: int = 1
    zero_gradient_tensors: tuple[str, ...] = ()


def plan_of(
    name: str,
    precision: Precision,
    start: Tensors,
    probe: Callable[[int], Sequence[Input]],
    steps: int,
    **hyper: object,
) -> Plan:
    """Return the plan for one of the package's models."""
    spec, rules = get_spec(name), rules_of(name, **hyper)
    return Plan(
        start,
        lambda number: inputs_held(probe(number), precision),
        spec.recipe,
        steps,
        heads=spec.reference.heads,
        statistics=statistics_of(rules),
        batches=batches_of(start, precision),
        zero_gradient_tensors=zero_gradient_tensors(rules),
    )


def statistics_of(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the reference's names of the running statistics."""
    return frozenset(rule.source for rule in rules if rule.target[0] == "batch_stats")


def inputs_held(arrays: Sequence[ArrayLike | None], precision: Precision) -> list[Input]:
    """Return the inputs as every backend holds them exactly: below float64 rounded to float32."""
    held = [None if a is None else np.asarray(a) for a in arrays]
    if precision.is_exact:
        return held
    return [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in held]


def batches_of(start: Tensors, precision: Precision) -> int:
    """Return how many batches gradients and first steps are measured on."""
    if precision.is_exact:
        return 1
    return _BATCHES_OF_LARGE if sum(t.size for t in start.values()) > 1e7 else _BATCHES


class Observation(NamedTuple):
    """What a backend holds or computed at a stage.

    Attributes:
        stage: where in the comparison.
        step: training steps, updates or batches before it.
        tensors: by the reference's names.
    """

    stage: Stage
    step: int
    tensors: Mapping[str, Value]


def observe(backend: Backend, plan: Plan) -> Iterator[Observation]:
    """Yield every stage in order; nothing is computed before it is asked for."""
    backend.reset(plan.start)
    state = backend.state_dict()
    yield Observation(Stage.STRUCTURE, 0, {k: np.asarray(v.shape) for k, v in state.items()})
    yield Observation(Stage.READ_BACK, 0, state)
    del state  # a large model's weights
    layers, outputs = backend.trace(*plan.probe(0), train=False)
    yield from _in_order(layers, outputs, plan.heads)
    if plan.statistics:
        layers, _ = backend.trace(*plan.probe(0), train=True)
        yield Observation(Stage.TRAIN_ACTIVATIONS, 0, layers)
        backend.reset(plan.start)
    for batch in range(plan.batches):
        terms, gradients = backend.backward(*plan.probe(batch and FURTHER + batch))
        yield Observation(Stage.LOSS_TERMS, batch, terms)
        yield Observation(Stage.GRADIENTS, batch, gradients)
    if plan.recipe is None:
        return
    start, gradients = _optimiser_probe(plan.recipe)
    for step, parameter in enumerate(backend.updates(plan.recipe, start, gradients), 1):
        yield Observation(Stage.OPTIMISER, step, {f"update {step}": parameter})
    for batch in range(plan.batches if plan.steps else 0):
        backend.reset(plan.start)
        backend.step(plan.recipe, *plan.probe(batch and FURTHER + batch))
        yield from _state(backend, batch, Phase.ONE_STEP, plan.statistics)
    backend.reset(plan.start)
    watched = watched_steps(plan.steps)
    for step in range(1, plan.steps + 1):
        losses = backend.step(plan.recipe, *plan.probe(step))
        yield Observation(Stage.LOSSES, step, losses)
        if step in watched:
            yield from _state(backend, step, Phase.RUN, plan.statistics)


def watched_steps(steps: int) -> list[int]:
    """Return after which steps the whole state is compared: 1, 2, 5, 10, 20, ... and the last."""
    found = [m * 10**e for e in range(9) for m in (1, 2, 5) if m * 10**e < steps]
    return [*found, steps] if steps else []


def _in_order(layers: Tensors, outputs: Tensors, heads: tuple[str, ...]) -> Iterator[Observation]:
    """Yield layers and outputs in the order in which they are computed."""
    names = list(layers)
    last = max((i for i, name in enumerate(names) if name in heads), default=len(names) - 1)
    before = {name: layers[name] for name in names[: last + 1]}
    after = {name: layers[name] for name in names[last + 1 :]}
    yield Observation(Stage.ACTIVATIONS, 0, before)
    others = {k: v for k, v in outputs.items() if k != "image"}
    if others:
        yield Observation(Stage.POSTERIOR_HEADS if heads else Stage.OUTPUTS, 0, others)
    after |= {k: v for k, v in outputs.items() if k == "image"}
    if after:
        yield Observation(Stage.ACTIVATIONS, 0, after)


def _state(
    backend: Backend, step: int, phase: Phase, statistics: frozenset[str]
) -> Iterator[Observation]:
    state, moments = backend.state_dict(), backend.moments()
    kinds = {
        Kind.PARAMETERS: {k: v for k, v in state.items() if k not in statistics},
        Kind.STATISTICS: {k: v for k, v in state.items() if k in statistics},
    }
    for stage in (s for s in Stage if s.phase is phase):
        tensors = moments.get(stage.moment) if stage.moment else kinds.get(stage.kind)
        if tensors:
            yield Observation(stage, step, tensors)


def _optimiser_probe(recipe: Recipe) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return a parameter and the gradients that are to move it.

    The parameter has the size of a few steps, so that its own rounding hides nothing; the gradients
    have 10 orders of magnitude, so that epsilon and the L2 term show.
    """
    rng = np.random.default_rng(0)
    start = recipe.learning_rate * rng.standard_normal(_SIZE)
    sizes = 10.0 ** rng.uniform(-8, 2, _SIZE)
    gradients = [sizes * rng.standard_normal(_SIZE) for _ in range(UPDATES)]
    return start.astype(np.float32), [g.astype(np.float32) for g in gradients]
