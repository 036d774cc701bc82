"""What is compared, in which order: the one list of stages, the same for every backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vae_jax.convert.mapping import rules_of
from vae_jax.models import get_spec
from vae_jax.parity.backends import Backend
from vae_jax.parity.precision import Precision
from vae_jax.parity.probes import Probe
from vae_jax.spec import Rule
from vae_jax.typing import Tensors

UPDATES = 10  # of the optimiser by itself
FURTHER = 50_000  # numbers of the further batches for gradients, after those of training steps
_SIZE = 512  # of the parameter that they move
_BATCHES = 5  # below float64 gradients and first steps are measured on so many
_BATCHES_OF_LARGE = 3  # and of a model of over 10 million weights on so many


@dataclasses.dataclass(frozen=True)
class Plan:
    """What both backends are given.

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
    """What both backends are given: below float64, inputs that float32 holds exactly."""
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
    """The inputs as both backends hold them exactly: below float64 rounded to float32."""
    if precision.is_exact:
        return list(arrays)
    held = [None if a is None else np.asarray(a) for a in arrays]
    return [a.astype(np.float32) if a is not None and a.dtype.kind == "f" else a for a in held]


def batches_of(start: Tensors, precision: Precision) -> int:
    """How many batches gradients and first steps are measured on."""
    if precision.is_exact:
        return 1
    return _BATCHES_OF_LARGE if sum(t.size for t in start.values()) > 1e7 else _BATCHES


class Observation(NamedTuple):
    """What a backend holds or computed.

    Attributes:
        stage: one of the stages, such as ``gradients``.
        step: training steps, updates or batches before it.
        tensors: by the reference's names.
    """

    stage: str
    step: int
    tensors: Mapping[str, Any]


def observe(backend: Backend, plan: Plan) -> Iterator[Observation]:
    """Every stage in order; nothing is computed before it is asked for."""
    backend.reset(plan.start)
    state = backend.state_dict()
    yield Observation("structure", 0, {k: np.asarray(v.shape) for k, v in state.items()})
    yield Observation("read-back", 0, state)
    del state
    layers, outputs = backend.trace(*plan.probe(0), train=False)
    yield from _in_order(layers, outputs, plan.heads)
    if plan.statistics:
        layers, _ = backend.trace(*plan.probe(0), train=True)
        yield Observation("activations, train mode", 0, layers)
        backend.reset(plan.start)
    for batch in range(plan.batches):
        terms, gradients = backend.backward(*plan.probe(batch and FURTHER + batch))
        yield Observation("loss terms", batch, terms)
        yield Observation("gradients", batch, gradients)
    if plan.recipe is None:
        return
    start, gradients = _optimiser_probe(plan.recipe)
    for step, parameter in enumerate(backend.updates(plan.recipe, start, gradients), 1):
        yield Observation("optimiser", step, {f"update {step}": parameter})
    for batch in range(plan.batches if plan.steps else 0):
        backend.reset(plan.start)
        backend.step(plan.recipe, *plan.probe(batch and FURTHER + batch))
        yield from _state(backend, batch, "after one step", plan.statistics)
    backend.reset(plan.start)
    watched = watched_steps(plan.steps)
    for step in range(1, plan.steps + 1):
        yield Observation("losses", step, backend.step(plan.recipe, *plan.probe(step)))
        if step in watched:
            yield from _state(backend, step, "after steps", plan.statistics)


def watched_steps(steps: int) -> list[int]:
    """The steps after which the whole state is compared: 1, 2, 5, 10, 20, 50, ... and the last."""
    found = [m * 10**e for e in range(9) for m in (1, 2, 5) if m * 10**e < steps]
    return [*found, steps] if steps else []


def _in_order(layers: Tensors, outputs: Tensors, heads: tuple[str, ...]) -> Iterator[Observation]:
    """Layers and outputs in the order in which they are computed."""
    names = list(layers)
    last = max((i for i, name in enumerate(names) if name in heads), default=len(names) - 1)
    before, after = (
        {n: layers[n] for n in part} for part in (names[: last + 1], names[last + 1 :])
    )
    yield Observation("activations", 0, before)
    others = {k: v for k, v in outputs.items() if k != "image"}
    if others:
        yield Observation("posterior heads" if heads else "outputs", 0, others)
    after |= {k: v for k, v in outputs.items() if k == "image"}
    if after:
        yield Observation("activations", 0, after)


def _state(
    backend: Backend, step: int, when: str, statistics: frozenset[str]
) -> Iterator[Observation]:
    state = backend.state_dict()
    kinds = {f"weights {when}": {k: v for k, v in state.items() if k not in statistics}}
    kinds |= {f"{moment} {when}": found for moment, found in backend.moments().items()}
    kinds[f"statistics {when}"] = {k: v for k, v in state.items() if k in statistics}
    for stage, tensors in kinds.items():
        if tensors:
            yield Observation(stage, step, tensors)


def _optimiser_probe(recipe: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """A parameter of the size of a few steps, so that its own rounding hides nothing, and gradients
    of 10 orders of magnitude, so that epsilon and the L2 term show."""
    rng = np.random.default_rng(0)
    rate = getattr(recipe, "learning_rate", 1e-3)
    start = rate * rng.standard_normal(_SIZE)
    sizes = 10.0 ** rng.uniform(-8, 2, _SIZE)
    gradients = [sizes * rng.standard_normal(_SIZE) for _ in range(UPDATES)]
    return start.astype(np.float32), [g.astype(np.float32) for g in gradients]
