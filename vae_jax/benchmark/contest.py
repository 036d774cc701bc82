"""A task's contestants timed in turns, as rows."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import jax

from vae_jax.benchmark.ceilings import Ceilings, measure_ceilings
from vae_jax.benchmark.contestants import CONTESTANTS, DEFAULT_GROUPS, OURS, build, names_of
from vae_jax.benchmark.flax_side import matmul_precision
from vae_jax.benchmark.neighbours import Neighbours
from vae_jax.benchmark.processes import build_elsewhere, forget_all
from vae_jax.benchmark.report import Row
from vae_jax.benchmark.tasks import Task
from vae_jax.benchmark.timing import TURN, interleave
from vae_jax.benchmark.work import cost_of


def measure(
    task: Task,
    groups: Sequence[str] = DEFAULT_GROUPS,
    *,
    rounds: int = 15,
    turn: int | float = TURN,
    ceilings: Ceilings | None = None,
) -> list[Row]:
    """Times a task by this package and by some groups of contestants, interleaved.

    Args:
        task: what to do.
        groups: of ``vae_jax.benchmark.contestants.GROUPS``; those that cannot do it stay away.
        rounds: turns of each.
        turn: seconds a turn at least; an epoch is a turn of its own.
        ceilings: the machine's; default: measured now.

    Returns:
        A row a contestant, ours first.

    Raises:
        MissingExtraError: a contestant's framework is not installed.
    """
    ceilings = ceilings or ceilings_in(task.precision)
    runs = {
        name: (build if CONTESTANTS[name].side == "flax_side" else build_elsewhere)(task, name)
        for name in names_of(task, groups)
    }
    neighbours = Neighbours()
    try:
        # Compilers that the first calls start are nobody else's.
        times = interleave(
            runs, rounds, turn=0 if task.work == "epoch" else turn, ready=neighbours.start
        )
        others = neighbours.share()
    finally:
        runs.clear()
        forget_all()
        vars(task).pop("data", None)  # kept with the rows it would pile up, as would the weights
        gc.collect()
    cost = cost_of(task)
    floor, ours = cost.floor(ceilings), times[OURS].median
    return [
        Row(task, name, CONTESTANTS[name].group, found, cost, floor, found.median / ours, others)
        for name, found in times.items()
    ]


def ceilings_in(precision: str) -> Ceilings:
    """The machine's ceilings with products in one of ``tasks.PRECISIONS``."""
    with matmul_precision("cpu" if jax.default_backend() == "cpu" else "gpu", precision):
        return measure_ceilings()
