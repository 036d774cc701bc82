"""Checkpoints of a run, through Orbax: parameters, statistics, optimiser state and step."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp

from vae_jax.errors import CheckpointError, RunError, UserError
from vae_jax.models import create_model, get_spec
from vae_jax.models.hyper import canonical
from vae_jax.training.digest import differing, digest_of
from vae_jax.training.hosts import is_main, on_main
from vae_jax.training.parallel import Parallel
from vae_jax.training.run import write_atomically
from vae_jax.training.state import TrainState, check_variables
from vae_jax.typing import Variables

_DIGEST, _TOTALS = "digest", "totals"  # beside a checkpoint's arrays


class Checkpoints:
    """The states that a run keeps; writing goes on in the background.

    A checkpoint gets its name when it is complete, and carries a digest of every array.

    Args:
        folder: of the run's checkpoints.
        parallel: the devices of the states; default: one.
        keep: how many of the last.
        keep_best: how many, beside them, of those after an epoch with the lowest loss.
    """

    def __init__(
        self, folder: Path, parallel: Parallel | None = None, *, keep: int = 2, keep_best: int = 0
    ):
        self._folder, self._parallel = folder.absolute(), parallel or Parallel()
        policies: list[Any] = [ocp.checkpoint_managers.LatestN(n=keep)]
        if keep_best:
            policies.append(
                ocp.checkpoint_managers.BestN(
                    get_metric_fn=lambda metrics: metrics["loss"],
                    reverse=True,
                    n=keep_best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        policy = ocp.checkpoint_managers.AnyPreservationPolicy(policies)
        self._options = ocp.CheckpointManagerOptions(preservation_policy=policy, create=True)
        self._open()

    @property
    def latest_step(self) -> int | None:
        """The last step that was saved whole, once what is being written is, or None."""
        self._manager.wait_until_finished()
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        *,
        loss: float | None = None,
        totals: dict[str, Any] | None = None,
    ) -> None:
        """Starts to write a state, from a copy: the next step reuses the state's own memory.

        Args:
            state: on the devices.
            loss: of the epoch that it ends.
            totals: within an epoch, the sums of its metrics so far.

        Raises:
            RunError: this one or the one before cannot be written.
        """
        copy = self._parallel.copy(state._asdict())
        step = int(np.asarray(jax.tree.leaves(copy["step"])[0]))
        try:
            self._write(step, copy, loss, totals)
        except Exception as error:  # of this one, or of the one before in the background
            gone = "the folder has vanished" if not self._folder.is_dir() else first_line(error)
            _say(f"{self._folder}: {gone}; writing step {step} anew")
            with contextlib.suppress(Exception):  # the same error again
                self._manager.wait_until_finished()
            self._open()
            try:
                self._write(step, copy, loss, totals)
                self._manager.wait_until_finished()
            except Exception as again:
                raise self._unwritten(again) from again

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The last state that is whole, with the shapes and types of ``like``, on its devices; and
        the sums that were saved with it.

        A damaged one is put aside, and said so.

        Raises:
            RunError: there is none, or none can be read.
        """
        target = self._parallel.shapes(like._asdict())
        steps = sorted(self._manager.all_steps(), reverse=True)
        if not steps:
            raise RunError(f"{self._folder} holds no checkpoint to resume from")
        reasons = []
        for step in steps:
            try:
                tree = self._manager.restore(step, args=ocp.args.StandardRestore(target))
                saved = self._manager.metadata(step).custom_metadata or {}
                _verify(tree, saved)
                break
            except Exception as error:
                reasons.append(f"checkpoint {step} is damaged ({first_line(error)})")
        else:
            raise RunError(f"{self._folder} cannot be resumed from: {'; '.join(reasons)}")
        if reasons:
            _say(f"{self._folder}: {'; '.join(reasons)}; going on from checkpoint {step}")
            on_main(lambda: self._put_aside([s for s in steps if s > step]))
            self._manager.reload()
        return self._parallel.put_state(TrainState(**tree)), saved.get(_TOTALS, {})

    def close(self) -> None:
        """Waits until everything is written.

        Raises:
            RunError: it cannot be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._unwritten(error) from error
        finally:
            with contextlib.suppress(Exception):  # it tells of the same error again
                self._manager.close()

    def _open(self) -> None:
        try:
            self._manager = ocp.CheckpointManager(
                self._folder,
                options=self._options,
                item_handlers=ocp.StandardCheckpointHandler(),
            )
        except OSError as error:
            raise self._unwritten(error) from error

    def _write(self, step: int, copy: Any, loss: float | None, totals: Any) -> None:
        self._manager.wait_until_finished()  # an error of the one before belongs to it
        if not self._folder.is_dir():
            raise FileNotFoundError(self._folder)
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.StandardSave(copy),
            metrics=None if loss is None else {"loss": loss},
            custom_metadata={_DIGEST: digest_of(copy)}
            | ({_TOTALS: dict(totals)} if totals else {}),
        )

    def _put_aside(self, steps: list[int]) -> None:
        for step in steps:
            names = (self._folder / f"damaged-{step}-{n}" for n in itertools.count(1))
            (self._folder / str(step)).rename(next(name for name in names if not name.exists()))

    def _unwritten(self, error: Exception) -> RunError:
        kept = [int(p.name) for p in self._folder.glob("*") if p.name.isdigit()]
        last = f"the last whole one is of step {max(kept)}" if kept else "there is none yet"
        return RunError(
            f"a checkpoint cannot be written to {self._folder}: {first_line(error)}; {last}; see "
            "to the space and rights there, then go on with --resume"
        )


def load_run_variables(folder: Path, step: int | None = None) -> Variables:
    """Parameters and statistics of ``load_run_state``."""
    return load_run_state(folder, step).variables


def load_run_state(folder: Path, step: int | None = None) -> TrainState:
    """A run's last whole checkpoint as NumPy arrays, with Adam's state alone of the optimiser's.

    Args:
        folder: of the run's checkpoints.
        step: of the one to load; None for the last. A damaged last one gives way to the one
            before, and says so.

    Raises:
        RunError: there is no checkpoint, or none that can be read.
    """
    folder = folder.absolute()
    found = sorted(ocp.utils.checkpoint_steps(folder), reverse=True) if folder.is_dir() else []
    steps = found if step is None else [s for s in found if s == step]
    if not steps:
        have = f" of step {step}; there are {', '.join(map(str, found[::-1]))}" if found else " yet"
        raise RunError(f"{folder} holds no checkpoint{have}; expected a run that has saved one")
    reasons = []
    for number in steps:
        try:
            state = _load(folder / str(number))
        except Exception as error:  # Orbax and TensorStore have errors of many kinds
            reasons.append(f"checkpoint {number} cannot be read ({first_line(error)})")
            continue
        if reasons:
            _say(f"{folder}: {'; '.join(reasons)}; taking checkpoint {number}")
        return state
    raise RunError(f"{folder}: {'; '.join(reasons)}")


def _load(checkpoint: Path) -> TrainState:
    tree = _restore_numpy(checkpoint / "default")
    saved = json.loads((checkpoint / "_CHECKPOINT_METADATA").read_text())
    _verify(tree, saved.get("custom_metadata") or {})
    # Orbax keeps a named tuple as a dict of its fields, and an optimiser's chain as a list.
    parts = jax.tree.leaves(tree["opt_state"], is_leaf=lambda part: isinstance(part, dict))
    (adam,) = [part for part in parts if isinstance(part, dict)]
    opt_state: Any = optax.ScaleByAdamState(**adam)
    return TrainState(tree["step"], tree["params"], tree["batch_stats"], opt_state)


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
            f"{folder} is not a readable Flax checkpoint: {first_line(error)}"
        ) from error
    return name, hyper, variables


def first_line(error: Exception) -> str:
    """What an error says, in a line; of a long one the beginning and the end."""
    line = (str(error).splitlines() or [""])[0] or type(error).__name__
    return line if len(line) <= 300 else f"{line[:120]} ... {line[-160:]}"


def _verify(tree: Any, saved: dict[str, Any]) -> None:
    """Raises ValueError where arrays are not those that were saved."""
    digest = saved.get(_DIGEST, {})
    wrong = differing(tree, digest) if digest else []  # older ones have none
    if wrong:
        raise ValueError(f"{wrong[0]} is not what was saved, of {len(digest)} arrays {len(wrong)}")


def _say(line: str) -> None:
    if is_main():
        print(line, file=sys.stderr, flush=True)


def _restore_numpy(folder: Path) -> Any:
    """Any tree that Orbax wrote, as NumPy arrays, whatever devices it was written on."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        metadata = checkpointer.metadata(folder).item_metadata
        tree = metadata.tree if hasattr(metadata, "tree") else metadata
        types = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(folder, restore_args=types)
