"""Checkpoints that a run writes with Orbax, keeps, and resumes from."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp  # without stubs

from vae_jax.errors import RunError
from vae_jax.training.checkpoint import (
    first_line,
    quiet_failure,
    require_readable,
    say,
    verify,
)
from vae_jax.training.checksum import checksum_of
from vae_jax.training.devices import make_parallel
from vae_jax.training.hosts import on_every, on_main
from vae_jax.training.metadata import CheckpointMetadata, read_metadata, with_checksum
from vae_jax.training.metrics import Record
from vae_jax.training.orbax_path import orbax_path
from vae_jax.training.parallel import Parallel
from vae_jax.training.state import TrainState
from vae_jax.typing import Tree


class Checkpoints:
    """The checkpoints of a run, written in the background.

    A checkpoint gets its name only when it is complete, and stores a checksum of every array.

    Args:
        folder: the folder of the run's checkpoints.
        parallel: the devices of the states; default: one.
        keep: the number of most recent checkpoints to keep.
        keep_best: the number of further checkpoints to keep, of the epochs with the lowest loss.
    """

    def __init__(
        self, folder: Path, parallel: Parallel | None = None, *, keep: int = 2, keep_best: int = 0
    ):
        self._folder, self._parallel = folder.absolute(), parallel or make_parallel()
        self._losses: dict[int, float] = {}
        self._being_written: int | None = None
        on_main(self._put_unreadable_aside)
        for step in ocp.utils.checkpoint_steps(self._folder) if self._folder.is_dir() else ():
            self._note_loss(step, read_metadata(self._folder / str(step))["loss"])
        policies: list[ocp.checkpoint_managers.PreservationPolicy] = [
            ocp.checkpoint_managers.LatestN(n=keep)
        ]
        if keep_best:
            policies.append(_Best(self._losses, keep_best))
        policy = ocp.checkpoint_managers.AnyPreservationPolicy(policies)
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, cleanup_tmp_directories=True
        )
        self._open()

    @property
    def latest_step(self) -> int | None:
        """Return the step of the last complete checkpoint, after pending writes, or None."""
        self._finish_writing()
        return self._manager.latest_step()

    def save(
        self, state: TrainState, *, loss: float | None = None, totals: Record | None = None
    ) -> None:
        """Start writing a copy of a state, whose own memory the next step reuses.

        Args:
            state: the state, on the devices.
            loss: the mean over the steps of the epoch that it ends; None within an epoch.
            totals: within an epoch, the sums of its metrics so far.

        Raises:
            RunError: this checkpoint or the one before cannot be written.
        """
        copy, step = self._parallel.copy(state._asdict()), self._parallel.step_of(state)
        # Computed on the devices; but under pmap each of them holds the state, so from the copy.
        checksums = checksum_of(copy if self._parallel.mode == "pmap" else state._asdict())
        metadata = with_checksum(
            CheckpointMetadata(digest=checksums, loss=loss, totals=dict(totals or {}))
        )
        self._note_loss(step, loss)
        try:
            self._write(step, copy, metadata)
        except Exception as error:  # writing this one, or the one before in the background
            gone = "the folder has vanished" if not self._folder.is_dir() else first_line(error)
            say(f"{self._folder}: {gone}; writing step {step} anew")
            with contextlib.suppress(Exception):  # the same error again
                self._manager.wait_until_finished()
            self._open()
            try:
                self._write(step, copy, metadata)
                self._finish_writing()
            except Exception as again:
                raise self._unwritten(again) from again

    def restore(self, like: TrainState) -> tuple[TrainState, Record]:
        """Return the last undamaged state and the epoch's sums that were saved with it.

        Damaged checkpoints after it are renamed, with a message.

        Args:
            like: a state with the shapes, types and devices of the result.

        Raises:
            RunError: there is no checkpoint, or none can be read.
        """
        target = self._parallel.shapes(like._asdict())
        steps = sorted(self._manager.all_steps(), reverse=True)
        if not steps:
            raise RunError(f"{self._folder} holds no checkpoint to resume from")
        reasons: list[str] = []
        for step in steps:
            try:
                with quiet_failure():
                    saved = read_metadata(self._folder / str(step))
                    tree = self._manager.restore(step, args=ocp.args.StandardRestore(target))
                    verify(tree, saved)
                break
            except Exception as error:
                reasons.append(f"checkpoint {step} is damaged ({first_line(error)})")
        else:
            raise RunError(f"{self._folder} cannot be resumed from: {'; '.join(reasons)}")
        if reasons:
            say(f"{self._folder}: {'; '.join(reasons)}; going on from checkpoint {step}")
            on_main(lambda: self._put_aside([s for s in steps if s > step]))
            self._manager.reload()
        return self._parallel.put_state(TrainState(**tree)), saved["totals"]

    def close(self) -> None:
        """Wait until everything is written, then close the manager.

        Raises:
            RunError: a checkpoint cannot be written.
        """
        try:
            self._finish_writing()
        except Exception as error:
            raise self._unwritten(error) from error
        finally:
            with contextlib.suppress(Exception):  # it raises the same error again
                self._manager.close()

    def _open(self) -> None:
        try:
            self._manager = ocp.CheckpointManager(
                orbax_path(self._folder),
                options=self._options,
                item_handlers=ocp.StandardCheckpointHandler(),
            )
        except OSError as error:
            raise self._unwritten(error) from error

    def _write(self, step: int, copy: Tree, metadata: dict[str, object]) -> None:
        on_every(self._require_ready)
        if step in self._manager.all_steps():
            return
        self._manager.save(step, args=ocp.args.StandardSave(copy), custom_metadata=metadata)
        self._being_written = step

    def _finish_writing(self) -> None:
        """Wait for the checkpoint that is being written, and check that it can be opened."""
        step, self._being_written = self._being_written, None
        self._manager.wait_until_finished()  # raises the write's error, if any
        if step is not None:
            require_readable(self._folder / str(step))

    def _require_ready(self) -> None:
        self._finish_writing()
        if not self._folder.is_dir():
            raise FileNotFoundError(self._folder)

    def _note_loss(self, step: int, loss: float | None) -> None:
        if loss is not None:
            self._losses[step] = loss

    def _put_unreadable_aside(self) -> None:
        """Rename the checkpoints with damaged metadata, on which Orbax would fail."""
        for step in ocp.utils.checkpoint_steps(self._folder) if self._folder.is_dir() else ():
            try:
                read_metadata(self._folder / str(step))
            except ValueError as error:
                say(f"{self._folder}: checkpoint {step} is damaged ({error}); it is put aside")
                self._put_aside([step])

    def _put_aside(self, steps: list[int]) -> None:
        for step in steps:
            names = (self._folder / f"damaged-{step}-{n}" for n in itertools.count(1))
            (self._folder / str(step)).rename(next(name for name in names if not name.exists()))

    def _is_readable(self, step: int) -> bool:
        try:
            require_readable(self._folder / str(step))
        except ValueError:
            return False
        return True

    def _unwritten(self, error: Exception) -> RunError:
        steps = [int(p.name) for p in self._folder.glob("*") if p.name.isdigit()]
        whole = next((s for s in sorted(steps, reverse=True) if self._is_readable(s)), None)
        last = "there is none yet" if whole is None else f"the last whole one is of step {whole}"
        return RunError(
            f"a checkpoint cannot be written to {self._folder}: {first_line(error)}; {last}; "
            "check free space and permissions, then rerun with --resume"
        )


@dataclasses.dataclass(frozen=True)
class _Best:
    """Policy that keeps the lowest losses; Orbax's own forgets the losses from before a resume."""

    losses: dict[int, float]
    number: int

    def should_preserve(self, checkpoints: Sequence[Any], *, context: object) -> list[bool]:
        ranked = sorted((self.losses[c.step], c.step) for c in checkpoints if c.step in self.losses)
        best = {step for _, step in ranked[: self.number]}
        return [c.step in best for c in checkpoints]
