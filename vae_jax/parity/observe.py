"""What is looked at, in which order: the one list of stages, the same for every side.

A side is a reference (``torch_side.py``, ``paddle.py``, ``tensorflow.py``) or a port
(``flax_side.py``). It has ``reset(tensors)``, ``state_dict()``, ``trace(*probe, train=)``,
``backward(*probe)``, ``step(recipe, *probe)``, ``moments()`` and ``updates(recipe, start,
gradients)``, all under the reference's names and in its layouts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from vae_jax.parity.plans import Plan
from vae_jax.typing import Tensors

UPDATES = 10  # of the optimiser by itself
FURTHER = 50_000  # numbers of the further batches for gradients, after those of training steps
_SIZE = 512  # of the parameter that they move


class Observation(NamedTuple):
    """What a side holds or computed.

    Attributes:
        stage: one of the stages, such as ``gradients``.
        step: training steps, updates or batches before it.
        tensors: by the reference's names.
    """

    stage: str
    step: int
    tensors: Mapping[str, Any]


def observe(side: Any, plan: Plan) -> Iterator[Observation]:
    """Every stage in order; nothing is computed before it is asked for."""
    side.reset(plan.start)
    state = side.state_dict()
    yield Observation("structure", 0, {k: np.asarray(v.shape) for k, v in state.items()})
    yield Observation("read-back", 0, state)
    del state
    layers, outputs = side.trace(*plan.probe(0), train=False)
    yield from _in_order(layers, outputs, plan.heads)
    if plan.statistics:
        yield Observation("activations, train mode", 0, side.trace(*plan.probe(0), train=True)[0])
        side.reset(plan.start)
    for batch in range(plan.batches):
        terms, gradients = side.backward(*plan.probe(batch and FURTHER + batch))
        yield Observation("loss terms", batch, terms)
        yield Observation("gradients", batch, gradients)
    if plan.recipe is None:
        return
    start, gradients = _optimiser_probe(plan.recipe)
    for step, parameter in enumerate(side.updates(plan.recipe, start, gradients), 1):
        yield Observation("optimiser", step, {f"update {step}": parameter})
    for batch in range(plan.batches if plan.steps else 0):
        side.reset(plan.start)
        side.step(plan.recipe, *plan.probe(batch and FURTHER + batch))
        yield from _state(side, batch, "after one step", plan.statistics)
    side.reset(plan.start)
    watched = watched_steps(plan.steps)
    for step in range(1, plan.steps + 1):
        yield Observation("losses", step, side.step(plan.recipe, *plan.probe(step)))
        if step in watched:
            yield from _state(side, step, "after steps", plan.statistics)


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


def _state(side: Any, step: int, when: str, statistics: frozenset[str]) -> Iterator[Observation]:
    state = side.state_dict()
    kinds = {f"weights {when}": {k: v for k, v in state.items() if k not in statistics}}
    kinds |= {f"{moment} {when}": found for moment, found in side.moments().items()}
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
