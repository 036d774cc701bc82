"""Checkpoints of a run, through Orbax: parameters, statistics, optimiser state and step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp

from vae_jax.errors import CheckpointError, RunError, UserError
from vae_jax.models import create_model, get_spec
from vae_jax.models.hyper import canonical
from vae_jax.training.run import write_atomically
from vae_jax.training.state import TrainState, check_variables
from vae_jax.typing import Variables


class Checkpoints:
    """The states that a run keeps, the last ``keep`` of them; writing goes on in the background.

    Args:
        folder: of the run's checkpoints.
        keep: how many.
    """

    def __init__(self, folder: Path, keep: int = 2):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    @property
    def latest_step(self) -> int | None:
        """The last step that was saved whole, or None."""
        return self._manager.latest_step()

    def save(self, state: TrainState) -> None:
        """Starts to write a state, from a copy: the next step reuses the state's own memory."""
        step = int(state.step)
        if step != self.latest_step:
            copy = jax.tree.map(np.array, state._asdict())
            self._manager.save(step, args=ocp.args.StandardSave(copy))

    def restore(self, like: TrainState) -> TrainState:
        """The last state, with the shapes and types of ``like``.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        step = self.latest_step
        if step is None:
            raise RunError(f"{self._manager.directory} holds no checkpoint to resume from")
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
        try:
            tree = self._manager.restore(step, args=ocp.args.StandardRestore(target))
        except Exception as error:
            raise RunError(
                f"checkpoint {step} in {self._manager.directory} cannot be restored: "
                f"{_first_line(error)}"
            ) from error
        return TrainState(**tree)

    def close(self) -> None:
        """Waits until everything is written."""
        self._manager.wait_until_finished()
        self._manager.close()


def load_run_variables(folder: Path) -> Variables:
    """Parameters and statistics of a run's last checkpoint, as NumPy arrays.

    Raises:
        RunError: there is no checkpoint.
    """
    return load_run_state(folder).variables


def load_run_state(folder: Path) -> TrainState:
    """A run's last checkpoint as NumPy arrays, with Adam's state alone of the optimiser's.

    Raises:
        RunError: there is no checkpoint.
    """
    folder = folder.absolute()
    steps = ocp.utils.checkpoint_steps(folder) if folder.is_dir() else []
    if not steps:
        raise RunError(f"{folder} holds no checkpoint yet; expected a run that has saved one")
    try:
        tree = _restore_numpy(folder / str(max(steps)) / "default")
        # Orbax keeps a named tuple as a dict of its fields, and an optimiser's chain as a list.
        parts = jax.tree.leaves(tree["opt_state"], is_leaf=lambda part: isinstance(part, dict))
        (adam,) = [part for part in parts if isinstance(part, dict)]
        opt_state: Any = optax.ScaleByAdamState(**adam)
        return TrainState(tree["step"], tree["params"], tree["batch_stats"], opt_state)
    except Exception as error:  # Orbax and TensorStore have errors of many kinds
        raise RunError(
            f"checkpoint {max(steps)} in {folder} cannot be read: {_first_line(error)}"
        ) from error


def save_variables(folder: Path, model: str, hyper: dict[str, Any], variables: Variables) -> None:
    """Writes a Flax checkpoint folder: ``model.json`` and the variables, read back and compared.

    Raises:
        CheckpointError: the folder exists and is not empty, or what was written differs.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(f"{folder} exists already; choose a new folder")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "variables", variables)
    same = jax.tree.map(
        lambda a, b: a.dtype == b.dtype and a.tobytes() == b.tobytes(),
        variables,
        _restore_numpy(folder / "variables"),
    )
    if not jax.tree.all(same):
        raise CheckpointError(f"{folder}: what was read back differs from what was written")
    description = {"model": model, "hyper": hyper}
    write_atomically(folder / "model.json", json.dumps(description, indent=2) + "\n")


def is_flax_checkpoint(folder: Path) -> bool:
    """Whether ``save_variables`` wrote the folder, to its end."""
    return (folder / "model.json").is_file()


def load_variables(folder: Path) -> tuple[str, dict[str, Any], Variables]:
    """Model name, hyperparameters and variables of a Flax checkpoint folder.

    Raises:
        CheckpointError: the folder cannot be read or holds another tree than the model's.
    """
    try:
        description = json.loads((folder / "model.json").read_text())
        spec = get_spec(description["model"])
        name, hyper = spec.name, canonical(spec, description["hyper"])
        variables = _restore_numpy(folder.absolute() / "variables")
        check_variables(create_model(name, **hyper), variables)
    except UserError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except Exception as error:
        raise CheckpointError(
            f"{folder} is not a readable Flax checkpoint: {_first_line(error)}"
        ) from error
    return name, hyper, variables


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300] or type(error).__name__


def _restore_numpy(folder: Path) -> Any:
    """Any tree that Orbax wrote, as NumPy arrays, whatever devices it was written on."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(folder).item_metadata
        tree = metadata.tree if hasattr(metadata, "tree") else metadata
        types = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(folder, restore_args=types)
