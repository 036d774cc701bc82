"""Who does the work: this package, and the originals' frameworks, by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

from vae_jax.benchmark.runs import Run
from vae_jax.benchmark.tasks import Task
from vae_jax.errors import MissingExtraError, UserError
from vae_jax.models import has_convolutions

OURS = "vae_jax"


class Contestant(NamedTuple):
    """Who does the work.

    Attributes:
        group: what ``--against`` names; a ratio is to the quickest of a group.
        backend: the module beside this that builds it.
        enters: whether it can do a task.
    """

    group: str
    backend: str
    enters: Callable[[Task], bool]


def _of(framework: str) -> Callable[[Task], bool]:
    return lambda task: task.spec.reference.framework == framework


def _both_formats(name: str, group: str, enters: Callable[[Task], bool]) -> dict[str, Contestant]:
    """PyTorch with its usual memory format and, where there are convolutions, channels last."""
    return {
        name: Contestant(group, "torch_backend", enters),
        f"{name}, channels last": Contestant(
            group, "torch_backend", lambda task: enters(task) and has_convolutions(task.module)
        ),
    }


CONTESTANTS = {
    OURS: Contestant("ours", "flax_backend", lambda task: True),
    "vae_jax, plain layers": Contestant("plain", "flax_backend", lambda task: task.device == "cpu"),
    "PyTorch as written": Contestant(
        "written", "torch_backend", lambda task: task.trains and _of("PyTorch")(task)
    ),
    **_both_formats("PyTorch tuned", "tuned", lambda task: True),
    **_both_formats("PyTorch tuned, memory kept", "kept", lambda task: task.device == "cpu"),
    **_both_formats("PyTorch compiled", "compiled", lambda task: True),
    **_both_formats(
        "PyTorch CUDA graph",
        "graphs",
        lambda task: task.work == "step" and task.device == "gpu",
    ),
    "Paddle as written": Contestant(
        "paddle", "paddle_backend", lambda task: task.device == "cpu" and _of("Paddle")(task)
    ),
    **{
        name: Contestant(
            "tensorflow",
            "tensorflow_backend",
            lambda task: task.trains and task.device == "cpu" and _of("TensorFlow")(task),
        )
        for name in ("TensorFlow as written", "TensorFlow function", "TensorFlow compiled")
    },
}
"""In the order in which tables list them."""

GROUPS = tuple(dict.fromkeys(c.group for c in CONTESTANTS.values() if c.group != "ours"))
"""What our own work can be held against."""

DEFAULT_GROUPS = tuple(group for group in GROUPS if group not in ("plain", "compiled", "graphs"))
"""Those that need no compiler and no GPU."""


def names_of(task: Task, groups: Sequence[str]) -> list[str]:
    """Return the contestants of a task: ours, and those of some groups that can do it."""
    return [
        name
        for name, contestant in CONTESTANTS.items()
        if (contestant.group == "ours" or contestant.group in groups) and contestant.enters(task)
    ]


def check_groups(tasks: Sequence[Task], groups: Sequence[str]) -> None:
    """Raise UserError for a group that can do none of the tasks."""
    for group in groups:
        if group not in GROUPS:
            raise UserError(f"there is no group {group!r}; expected one of {', '.join(GROUPS)}")
        if not any(len(names_of(task, [group])) > 1 for task in tasks):
            asked = ", ".join(dict.fromkeys(f"{task.model} {task.work}" for task in tasks))
            raise UserError(f"nobody of {group!r} can do any of: {asked}; leave it out")


def load_backends(tasks: Sequence[Task], groups: Sequence[str]) -> dict[str, MissingExtraError]:
    """Import the frameworks that tasks need, each in its process.

    Returns:
        The groups whose framework is not installed, each with the error that says so.
    """
    from contest.processes import worker_of

    missing: dict[str, MissingExtraError] = {}
    for name in dict.fromkeys(name for task in tasks for name in names_of(task, groups)):
        group, backend, _ = CONTESTANTS[name]
        if backend == "flax_backend" or group in missing:
            continue
        try:
            worker_of(name).ask("load", backend)
        except MissingExtraError as error:
            missing[group] = error
    return missing


def build(task: Task, name: str) -> Run:
    """Return a contestant ready for a task, on weights of its own.

    Raises:
        MissingExtraError: its framework is not installed.
    """
    return load(CONTESTANTS[name].backend).build(task, name)


def load(backend: str) -> ModuleType:
    """Import a framework here.

    Raises:
        MissingExtraError: it is not installed.
    """
    return importlib.import_module(f"contest.{backend}")
