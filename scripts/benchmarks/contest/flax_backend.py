"""This package as a contestant, with its own layers or with XLA's."""

from __future__ import annotations

from contest.contestants import OURS
from vae_jax.benchmark import runs
from vae_jax.benchmark.runs import Run
from vae_jax.benchmark.tasks import Task
from vae_jax.layers import plain_layers


def build(task: Task, name: str) -> Run:
    """Return the work of a task, compiled at its first call."""
    run = runs.build(task)
    if name == OURS:
        return run

    def plain(count: int) -> float | None:
        with plain_layers():
            return run(count)

    return plain
