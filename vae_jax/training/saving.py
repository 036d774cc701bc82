"""The checkpoints that a run writes, keeps and goes on from, through Orbax."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from vae_jax.errors import RunError
from vae_jax.training.checkpoint import DIGEST, first_line, say, verify
from vae_jax.training.digest import digest_of
from vae_jax.training.hosts import on_main
from vae_jax.training.parallel import Parallel
from vae_jax.training.state import TrainState

_TOTALS = "totals"  # beside a checkpoint's arrays, as its digest


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
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, cleanup_tmp_directories=True
        )
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
        copy, step = self._parallel.copy(state._asdict()), self._parallel.step_of(state)
        # Summed up where the arrays lie; under pmap they lie there once a device.
        digest = digest_of(copy if self._parallel.mode == "pmap" else state._asdict())
        beside = {DIGEST: digest} | ({_TOTALS: dict(totals)} if totals else {})
        try:
            self._write(step, copy, loss, beside)
        except Exception as error:  # of this one, or of the one before in the background
            gone = "the folder has vanished" if not self._folder.is_dir() else first_line(error)
            say(f"{self._folder}: {gone}; writing step {step} anew")
            with contextlib.suppress(Exception):  # the same error again
                self._manager.wait_until_finished()
            self._open()
            try:
                self._write(step, copy, loss, beside)
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

    def _write(self, step: int, copy: Any, loss: float | None, beside: Any) -> None:
        self._manager.wait_until_finished()  # an error of the one before belongs to it
        if not self._folder.is_dir():
            raise FileNotFoundError(self._folder)
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.StandardSave(copy),
            metrics=None if loss is None else {"loss": loss},
            custom_metadata=beside,
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
