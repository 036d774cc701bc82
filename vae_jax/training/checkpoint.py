"""Reading of a run's checkpoints; reading and writing of folders that hold only weights."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
from __future__ import annotations

import contextlib
import gc
import json
import re
import sys
import traceback
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast

import jax  # many of its functions have no full hints
import numpy as np
import optax  # without stubs
import orbax.checkpoint as ocp  # without stubs

from vae_jax.errors import CheckpointError, RunError, UserError
from vae_jax.files import explain_errors, require_local, write_atomically
from vae_jax.models import create_model, get_spec
from vae_jax.models.hyper import parse_hyperparameters
from vae_jax.training.checksum import differing
from vae_jax.training.hosts import is_main
from vae_jax.training.metadata import CheckpointMetadata, read_metadata
from vae_jax.training.orbax_path import orbax_path
from vae_jax.training.state import TrainState, check_variables
from vae_jax.typing import AnyArray, Tree, Variables


def load_run_variables(folder: Path, step: int | None = None) -> Variables:
    """Return the parameters and statistics of ``load_run_state``."""
    return load_run_state(folder, step).variables


def load_run_state(folder: Path, step: int | None = None) -> TrainState:
    """Return a run's last readable checkpoint as NumPy arrays, with only Adam's optimiser state.

    Args:
        folder: the folder of the run's checkpoints.
        step: the checkpoint to load; None for the last, or the one before it, with a message, if
            the last is damaged.

    Raises:
        RunError: there is no checkpoint, or none can be read.
    """
    folder = folder.absolute()
    found = sorted(ocp.utils.checkpoint_steps(folder), reverse=True) if folder.is_dir() else []
    steps = found if step is None else [s for s in found if s == step]
    if not steps:
        have = f" of step {step}; there are {', '.join(map(str, found[::-1]))}" if found else " yet"
        raise RunError(f"{folder} holds no checkpoint{have}; expected a run that has saved one")
    reasons: list[str] = []
    for number in steps:
        try:
            with quiet_failure():
                state = _load(folder / str(number))
        except Exception as error:  # Orbax and TensorStore raise many types
            reasons.append(f"checkpoint {number} cannot be read ({first_line(error)})")
            continue
        if reasons:
            say(f"{folder}: {'; '.join(reasons)}; taking checkpoint {number}")
        return state
    raise RunError(f"{folder}: {'; '.join(reasons)}")


def _load(checkpoint: Path) -> TrainState:
    tree = _restore_numpy(checkpoint / "default")
    verify(tree, read_metadata(checkpoint))
    # Orbax stores a named tuple as a dict of its fields, and an optimiser's chain as a list.
    parts: list[Variables | np.ndarray] = jax.tree.leaves(
        tree["opt_state"], is_leaf=lambda part: isinstance(part, dict)
    )
    (adam,) = [part for part in parts if isinstance(part, dict)]
    opt_state = optax.ScaleByAdamState(**adam)
    return TrainState(tree["step"], tree["params"], tree["batch_stats"], opt_state)


def require_readable(checkpoint: Path) -> None:
    """Check that a saved checkpoint's metadata and arrays can be opened; their values are not read.

    Raises:
        ValueError: they cannot.
    """
    try:
        with quiet_failure():
            arrays = jax.tree.leaves(_stored_tree(checkpoint / "default"))
        missing = len(read_metadata(checkpoint)["digest"]) - len(arrays)
    except Exception as error:  # Orbax and TensorStore raise many types
        raise ValueError(
            f"checkpoint {checkpoint.name} cannot be read back: {first_line(error)[:200]}"
        ) from error
    if missing:
        raise ValueError(f"checkpoint {checkpoint.name} lacks {missing} arrays")


def save_variables(
    folder: Path, model: str, hyper: Mapping[str, object], variables: Variables
) -> None:
    """Write a Flax checkpoint folder (``model.json`` and the variables) and verify it.

    Raises:
        CheckpointError: the folder exists and is not empty, or reading it back gives other bits.
    """
    require_local(folder)
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists already; choose a new folder")
    with explain_errors(CheckpointError, f"cannot write {folder}", "choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
    checkpointer = ocp.StandardCheckpointer()
    with checkpointer:
        checkpointer.save(orbax_path(folder / "variables"), variables)

    def equal(a: AnyArray, b: np.ndarray) -> bool:
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()

    same = jax.tree.map(equal, variables, _restore_numpy(folder / "variables"))
    if not jax.tree.all(same):
        raise CheckpointError(f"{folder}: what was read back differs from what was written")
    description = {"model": model, "hyper": hyper}
    write_atomically(folder / "model.json", json.dumps(description, indent=2) + "\n")


def is_flax_checkpoint(folder: Path) -> bool:
    """Return whether ``save_variables`` wrote the folder completely."""
    return (folder / "model.json").is_file()


def load_variables(folder: Path) -> tuple[str, dict[str, object], Variables]:
    """Return the model name, hyperparameters and variables of a Flax checkpoint folder.

    Raises:
        CheckpointError: the folder cannot be read, or its variables do not fit the model.
    """
    try:
        description = json.loads((folder / "model.json").read_text())
        spec = get_spec(description["model"])
        name, hyper = spec.name, parse_hyperparameters(spec, description["hyper"])
        variables = _restore_numpy(folder.absolute() / "variables")
        check_variables(create_model(name, **hyper), variables)
    except UserError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except Exception as error:
        raise CheckpointError(
            f"{folder} is not a readable Flax checkpoint: {first_line(error)}"
        ) from error
    return name, hyper, variables


def first_line(error: Exception) -> str:
    """Return an error's message in one line; for a file error of TensorStore, the system's."""
    line = (str(error).splitlines() or [""])[0].partition(". See full TensorStore")[0]
    line = line or type(error).__name__
    of_system = re.search(r": ([^:]+) \[os_error_code=", line)
    if of_system:
        return of_system[1]
    return line if len(line) <= 300 else f"{line[:120]} ... {line[-160:]}"


@contextlib.contextmanager
def quiet_failure() -> Generator[None]:
    """Suppress the traceback that TensorStore's leftover objects print after an error."""
    try:
        yield
    except Exception as error:
        hook = sys.unraisablehook
        sys.unraisablehook = lambda _: None
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        sys.unraisablehook = hook
        raise


def verify(tree: Tree, saved: CheckpointMetadata) -> None:
    """Raise ValueError if arrays differ from those that were saved."""
    checksums = saved["digest"]
    wrong = differing(tree, checksums) if checksums else []  # older checkpoints have none
    if wrong:
        raise ValueError(
            f"{wrong[0]} is not what was saved, of {len(checksums)} arrays {len(wrong)}"
        )


def say(line: str) -> None:
    """Print a line on standard error, only on host 0."""
    if is_main():
        print(line, file=sys.stderr, flush=True)


def _restore_numpy(folder: Path) -> Variables:
    """Return a tree that Orbax wrote as NumPy arrays, whatever devices it was written on."""

    def as_numpy(leaf: object) -> ocp.RestoreArgs:
        return ocp.RestoreArgs(restore_type=np.ndarray)

    checkpointer = ocp.PyTreeCheckpointer()
    with checkpointer:
        types = jax.tree.map(as_numpy, _stored_tree(folder))
        return cast(Variables, checkpointer.restore(orbax_path(folder), restore_args=types))


def _stored_tree(folder: Path) -> object:
    """Return the tree of a checkpoint's arrays, described but not read."""
    # A checkpointer would warn that the folder has no metadata file of its own.
    place = cast(Any, orbax_path(folder))  # Orbax asks for a path class of its own
    metadata = cast(object, ocp.PyTreeCheckpointHandler().metadata(place))
    return getattr(metadata, "tree", metadata)
