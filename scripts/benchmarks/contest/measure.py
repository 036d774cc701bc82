"""A task's contestants timed in turns, as rows."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from contest.contestants import CONTESTANTS, DEFAULT_GROUPS, OURS, build, names_of
from contest.neighbours import Neighbours, settle
from contest.processes import build_elsewhere, forget_all
from contest.report import ContestRow
from vae_jax.benchmark.roofline import Ceilings
from vae_jax.benchmark.runs import Run, ceilings_in
from vae_jax.benchmark.tasks import Task
from vae_jax.benchmark.timing import TURN, interleave


def measure(
    task: Task,
    groups: Sequence[str] = DEFAULT_GROUPS,
    *,
    rounds: int = 15,
    turn: int | float = TURN,
    ceilings: Ceilings | None = None,
) -> list[ContestRow]:
    """Time a task by this package and by some groups of contestants, interleaved.

    Args:
        task: what to do.
        groups: of ``contestants.GROUPS``; those that cannot do it stay away.
        rounds: turns of each.
        turn: seconds a turn at least; an epoch is a turn of its own.
        ceilings: the machine's; default: measured now.

    Returns:
        A row a contestant, ours first.

    Raises:
        MissingExtraError: a contestant's framework is not installed.
    """
    ceilings = ceilings or ceilings_in(task.precision)
    runs: dict[str, Run] = {}
    for name in names_of(task, groups):
        ours = CONTESTANTS[name].backend == "flax_backend"
        runs[name] = build(task, name) if ours else build_elsewhere(task, name)
    neighbours = Neighbours()
    try:
        # Compilers that the first calls start are nobody else's.
        times = interleave(
            runs,
            rounds,
            turn=0 if task.work == "epoch" else turn,
            rest=settle,
            ready=neighbours.start,
        )
        others = neighbours.share()
    finally:
        runs.clear()
        forget_all()
        vars(task).pop("data", None)  # kept with the rows it would pile up, as would the weights
        gc.collect()
    cost, ours = task.cost, times[OURS].median
    return [
        ContestRow(
            task=task,
            times=found,
            cost=cost,
            floor=cost.floor(ceilings),
            contestant=name,
            group=CONTESTANTS[name].group,
            ratio=found.median / ours,
            others=others,
        )
        for name, found in times.items()
    ]
