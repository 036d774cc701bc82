"""The run folder: ``run.json``, ``metrics.jsonl``, ``checkpoints/`` and ``figures/``."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from vae_jax.errors import RunError
from vae_jax.files import explain_errors, write_atomically
from vae_jax.models import get_spec
from vae_jax.models.hyper import parse_hyperparameters
from vae_jax.recipe import Recipe
from vae_jax.training.environment import (
    Segment,
    add_segment,
    environment,
    other_versions,
    read_segments,
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run: its folder, its model and its recipe.

    Attributes:
        path: the run's folder.
        model: a name in ``vae_jax.MODELS``.
        hyper: hyperparameters that differ from the reference's.
        recipe: every number of the training.
        init: the source of the first weights; None for the reference's initialisation.
        init_optimizer_steps: the number of steps in the optimiser state loaded with them; None for
            a fresh optimiser.
        init_epoch: the epoch stored beside that state, if any.
    """

    path: Path
    model: str
    hyper: dict[str, object]
    recipe: Recipe
    init: str | None = None
    init_optimizer_steps: int | None = None
    init_epoch: int | None = None

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the Orbax checkpoints."""
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        """Return the folder of the figures."""
        return self.path / "figures"

    @property
    def metrics(self) -> Path:
        """Return the file of the metrics, one JSON object per line."""
        return self.path / "metrics.jsonl"


def is_run(path: Path) -> bool:
    """Return whether a folder holds a run."""
    return (path / "run.json").is_file()


def require_no_run(path: Path) -> None:
    """Raise RunError if a folder already holds a run."""
    if is_run(path):
        raise RunError(
            f"{path} already holds a run; add --resume to continue it, or choose another --out"
        )


def open_run(path: Path) -> Run:
    """Read a run from its ``run.json``.

    The recipe's data source has an absolute path, so that the run can be used from any working
    folder; as the user typed it, only if nothing is there any more.

    Raises:
        RunError: the folder holds no run, or its ``run.json`` cannot be read.
    """
    file = path / "run.json"
    if not file.is_file():  # reading a pipe would block
        raise RunError(f"{path} holds no run.json; expected the folder of a run")
    try:
        text = json.loads(file.read_text())
        spec = get_spec(text["model"])
        hyper = parse_hyperparameters(spec, dict(text["hyper"]))
        recipe = Recipe(**text["recipe"])
        data = cast(object, text.get("data"))
        source = cast(Mapping[str, object], data if isinstance(data, dict) else {}).get(
            "absolute_source"
        )
        if isinstance(source, str) and os.path.exists(source.partition(":")[2]):
            recipe = recipe.replace(data=source)
        epoch = text.get("init_epoch")
        epoch = epoch if type(epoch) is int else None
        return Run(path.absolute(), spec.name, hyper, recipe, init_epoch=epoch)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())  # messages may have many lines
        raise RunError(f"{file} cannot be read as a run's description: {reason}") from error


def make_folder(run: Run) -> None:
    """Create the folder of a new run.

    Raises:
        RunError: the folder cannot be written.
    """
    with explain_errors(RunError, *unwritable(run.path)):
        run.path.mkdir(parents=True, exist_ok=True)


def create_run(run: Run, data: Mapping[str, object]) -> None:
    """Create the folder, unless it exists, and write ``run.json``.

    Raises:
        RunError: the folder holds a run or checkpoints already, or cannot be written.
    """
    require_no_run(run.path)
    make_folder(run)
    if run.checkpoints.is_dir() and any(run.checkpoints.iterdir()):
        raise RunError(
            f"{run.checkpoints} holds checkpoints of a run without its run.json; choose another "
            "--out, or move them away"
        )
    with explain_errors(RunError, *unwritable(run.path)):
        description = {
            "model": run.model,
            "hyper": run.hyper,
            "recipe": dataclasses.asdict(run.recipe),
            "init": run.init,
            "init_optimizer_steps": run.init_optimizer_steps,
            "init_epoch": run.init_epoch,
            "data": data,
            "segments": [Segment(from_step=0, environment=environment())],
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        write_atomically(run.path / "run.json", json.dumps(description, indent=2) + "\n")


def require_nothing_lost(run: Run, epochs: int) -> None:
    """Check that a run without a checkpoint loses nothing by beginning again.

    Args:
        run: a run without a checkpoint.
        epochs: the number of epochs in its metrics; up to two may end before the first checkpoint
            is complete.

    Raises:
        RunError: the run began with weights from elsewhere, has trained longer, or has damaged
            checkpoints.
    """
    init = json.loads((run.path / "run.json").read_text()).get("init")
    if init is not None:
        why = f"its first weights were those of {init}; start it again with --init and another"
    elif epochs > 2:
        why = f"{run.metrics} records epochs; bring the checkpoints back, or choose another"
    elif run.checkpoints.is_dir() and any(run.checkpoints.glob("damaged-*")):
        why = "those there are damaged; choose another"
    else:
        return
    raise RunError(f"{run.checkpoints} holds no checkpoint to resume from, and {why} --out")


def check_resume(old: Run, new: Run, data: Mapping[str, object]) -> None:
    """Check that ``new`` may continue ``old``: only the number of epochs may differ.

    Raises:
        RunError: other fields differ; the message lists them.
    """
    before, after = dataclasses.asdict(old.recipe), dataclasses.asdict(new.recipe)
    before["model"], after["model"] = old.model, new.model
    before["hyper"], after["hyper"] = old.hyper, new.hyper
    described: object = json.loads((old.path / "run.json").read_text()).get("data")
    known = cast(dict[str, object], described) if isinstance(described, dict) else {}
    before["fingerprint"] = known.get("fingerprint")
    after["fingerprint"] = data.get("fingerprint")
    differ = [k for k in before if before[k] != after[k] and k not in ("epochs", "data")]
    if differ:
        listed = "; ".join(f"{k} was {before[k]!r}, now {after[k]!r}" for k in differ)
        raise RunError(f"{old.path} cannot be resumed with another recipe: {listed}")


def record_start(run: Run, step: int, num_steps: int) -> str | None:
    """Update the number of epochs and the environments in ``run.json``.

    Args:
        run: the run, with its new number of epochs.
        step: the number of steps taken so far.
        num_steps: the number of steps at the end of the run.

    Returns:
        A line for the user if the versions have changed since the previous steps, else None.
    """
    file = run.path / "run.json"
    description = json.loads(file.read_text())
    description["recipe"]["epochs"] = run.recipe.epochs
    line = None
    if step < num_steps:
        before = read_segments(description)
        description["segments"] = after = add_segment(before, step, environment())
        description.pop("environment", None)  # from before segments existed
        changed = other_versions(after) if after[-1] not in before else None
        if changed:
            line = (
                f"{run.path}: the steps after {step} are taken under {changed}; they go on from "
                "those before within rounding, not bit for bit"
            )
    with writing(file):
        write_atomically(file, json.dumps(description, indent=2) + "\n")
    return line


def unwritable(path: Path) -> tuple[str, str]:
    """Return the message and the advice of the error for a run folder that cannot be written."""
    return f"cannot write the run folder {path}", "check its permissions, or choose another --out"


def writing(path: Path) -> contextlib.AbstractContextManager[None]:
    """Return a context that turns system errors about a run's file into RunError."""
    advice = "check free space and permissions, then rerun with --resume"
    return explain_errors(RunError, f"{path} cannot be written", advice)
