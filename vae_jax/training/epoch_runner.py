"""Running of one epoch: its steps, the sums of their metrics, and the checkpoints within it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from vae_jax.data import Dataset, batch_rows, num_batches
from vae_jax.errors import RunError
from vae_jax.models import get_spec
from vae_jax.models.base import Autoencoder
from vae_jax.objectives import make_loss
from vae_jax.training.compile_time import compile_seconds
from vae_jax.training.epoch import LONGEST_CALL, EpochSteps, stays_on_device
from vae_jax.training.guards import why_not_finite
from vae_jax.training.hosts import agree, is_main, on_main
from vae_jax.training.metrics import Record, append_metrics, read_metrics
from vae_jax.training.parallel import Parallel
from vae_jax.training.progress import Progress
from vae_jax.training.run import Run
from vae_jax.training.saving import Checkpoints
from vae_jax.training.state import TrainState
from vae_jax.training.step import Inputs, Optimizer
from vae_jax.training.stopping import StoppedError
from vae_jax.typing import Key

_SECONDS_PER_CALL = 0.5


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a run that do not change what it computes.

    Attributes:
        checkpoint_every: steps between checkpoints within an epoch; None: only after each epoch.
        checkpoint_minutes: minutes after which a checkpoint is written too; None: never.
        keep: the number of most recent checkpoints to keep.
        keep_best: the number of further checkpoints to keep, of the epochs with the lowest loss.
        on_nonfinite: ``stop`` at the first step whose loss or gradient is not finite, or ``skip``
            its update.
        skip_limit: the number of steps that the whole run may skip.
        stop: returns the reason to stop, or None; see ``stopping.catching_signals``.
        resident: whether the images stay on the device, where the steps run as a loop; None:
            decided by ``stays_on_device``.
        first_call: steps in the first call to the device; later calls are sized to take about
            half a second.
        longest_call: the largest number of steps in a call.
    """

    checkpoint_every: int | None = None
    checkpoint_minutes: float | int | None = None
    keep: int = 2
    keep_best: int = 0
    on_nonfinite: Literal["stop", "skip"] = "stop"
    skip_limit: int = 10
    stop: Callable[[], str | None] = lambda: None
    resident: bool | None = None
    first_call: int = 8
    longest_call: int = LONGEST_CALL


class EpochRunner:
    """Runner of a run's epochs, one at a time."""

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        model: Autoencoder,
        optimizer: Optimizer,
        key: Key,
        checkpoints: Checkpoints,
        parallel: Parallel,
        options: Options,
    ):
        spec, recipe = get_spec(run.model), run.recipe
        self._run, self._dataset, self._key = run, dataset, key
        self._checkpoints, self._parallel, self._options = checkpoints, parallel, options
        self.stopping = False
        skipped = int(sum(record.get("skipped", 0) for record in read_metrics(run)))
        self._skipped = agree(False, False, skipped)[2]
        self._saved_at = time.monotonic()
        axis_name, resident = parallel.axis_name, options.resident
        if resident is None:
            resident = stays_on_device(model, dataset.train)
        self._inputs = Inputs.of(spec, model.latent_size, recipe, axis_name)
        self._loss = make_loss(run.model, recipe=recipe, axis_name=axis_name, **run.hyper)
        self._steps = EpochSteps(
            self._loss,
            optimizer,
            dataset.train,
            recipe,
            self._inputs,
            takes_label=spec.num_classes > 0,
            key=key,
            resident=resident,
            parallel=parallel,
            on_nonfinite=options.on_nonfinite,
        )

    def close(self) -> None:
        """Stop the thread that fetches batches."""
        self._steps.close()

    def append(self, record: Record) -> None:
        """Append a line to ``metrics.jsonl``, only on host 0."""
        on_main(lambda: append_metrics(self._run, record))

    def stopped(self, state: TrainState) -> StoppedError:
        """Return the error that ends a run which was asked to stop and has been saved."""
        return StoppedError(
            f"stopped by {self._options.stop() or 'another host'}, saved at step "
            f"{self._parallel.step_of(state)}; go on with --resume: vae-jax train "
            f"{self._run.model} --resume --out {self._run.path}"
        )

    def run(
        self, epoch: int, state: TrainState, start: int, totals: Record
    ) -> tuple[TrainState, Record]:
        """Train on an epoch's batches from number ``start`` on.

        Args:
            epoch: its number, from 1.
            state: the state before batch ``start``; donated.
            start: the number of batches already taken.
            totals: the sums of their metrics; updated in place.

        Returns:
            The state and the epoch's record for ``metrics.jsonl``.

        Raises:
            RunError: a step is not finite, or too many or all steps were skipped.
            StoppedError: the run was asked to stop within the epoch; the state is saved.
        """
        recipe = self._run.recipe
        num_steps = num_batches(len(self._dataset.train), recipe.batch_size, recipe.drop_remainder)
        before = (epoch - 1) * num_steps
        started, compiling = time.perf_counter(), compile_seconds()
        progress = Progress(epoch, num_steps, start)
        every = self._options.checkpoint_every or num_steps
        index, count = start, self._options.first_call
        self._skipped += int(totals.get("skipped", 0))
        while index < num_steps:
            count = min(count, num_steps - index, every - index % every)
            called = time.perf_counter()
            state, metrics = self._steps.run(state, epoch, index, count)
            self._add(totals, metrics, state, epoch, index)
            index += count
            progress.update(index, totals["loss"] / max(index - totals.get("skipped", 0), 1))
            seconds = time.perf_counter() - called
            if seconds < _SECONDS_PER_CALL / 2:
                count = min(2 * count, self._options.longest_call)
            elif seconds > _SECONDS_PER_CALL * 2:
                count = max(count // 2, 1)  # someone may be waiting to stop it
            due = index % every == 0 or self._minutes_are_up()
            self.stopping, due, count = agree(self._options.stop() is not None, due, count)
            if (due or self.stopping) and index < num_steps:
                self._checkpoints.save(state, totals=totals)
                self._saved_at = time.monotonic()
                if self.stopping:
                    raise self.stopped(state)
        progress.close()
        self._saved_at = time.monotonic()  # the loop saves after the epoch
        skipped = {"skipped": totals.pop("skipped")} if "skipped" in totals else {}
        taken = num_steps - skipped.get("skipped", 0)
        if taken == 0:
            raise RunError(
                f"{self._run.path} has skipped all {num_steps} steps of epoch {epoch}: their loss "
                "or gradient is not finite; try a lower --learning-rate, or --clip-norm"
            )
        scale = taken if recipe.epoch_loss == "mean" else 1
        names = ["loss", *(name for name in totals if name not in ("loss", "gradient_norm"))]
        record: Record = {"epoch": epoch, "step": before + num_steps}
        record |= {name: totals[name] / scale for name in names} | skipped
        if "gradient_norm" in totals:
            record["gradient_norm"] = totals["gradient_norm"] / taken
        record["seconds"] = round(time.perf_counter() - started, 3)
        record["compile_seconds"] = round(compile_seconds() - compiling, 3)
        if is_main():
            progress.report(record)
        return state, record

    def _minutes_are_up(self) -> bool:
        minutes = self._options.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def _add(
        self,
        totals: Record,
        metrics: dict[str, np.ndarray],
        state: TrainState,
        epoch: int,
        index: int,
    ) -> None:
        """Add the metrics of the steps from number ``index`` on to the epoch's sums."""
        finite = metrics["finite"]
        # An epoch begun by an older version continues with only the sums that it has.
        begun = totals.keys() - {"skipped"}
        for name, values in metrics.items():
            if name not in ("finite", "going") and (not begun or name in begun):
                # Added one by one, so the sum does not depend on how steps are grouped into calls.
                totals[name] = sum(values[finite].tolist(), totals.get(name, 0.0))
        bad = index + np.flatnonzero(~finite)
        if not len(bad):
            return
        if self._options.on_nonfinite == "stop":
            raise RunError(self._why(state, epoch, int(bad[0])))
        totals["skipped"] = totals.get("skipped", 0) + len(bad)
        self._skipped += len(bad)
        if self._skipped > self._options.skip_limit:
            raise RunError(
                f"{self._run.path} has skipped {self._skipped} steps whose loss or gradient is not "
                f"finite, the last of them batch {bad[-1] + 1} of epoch {epoch}; --skip-limit "
                f"allows {self._options.skip_limit}; try a lower --learning-rate, or --clip-norm"
            )

    def _why(self, state: TrainState, epoch: int, index: int) -> str:
        recipe, split = self._run.recipe, self._dataset.train
        rows, mask = batch_rows(
            len(split),
            recipe.batch_size,
            recipe.seed,
            epoch,
            recipe.drop_remainder,
            self._parallel.width(recipe.batch_size, recipe.batch_norm_groups),
        )
        batch = {"image": split.images[rows[index]], "label": split.labels[rows[index]]}
        if mask is not None:
            batch["mask"] = mask[index]
        state = TrainState(*self._parallel.on_one(state))
        why = why_not_finite(self._loss, self._inputs, state, batch, self._key)
        kept = self._checkpoints.latest_step
        saved = (
            "no checkpoint was saved before it"
            if kept is None
            else (f"checkpoint {kept}, before it, is kept")
        )
        return (
            f"step {int(state.step) + 1} (batch {index + 1} of epoch {epoch}) is not finite: {why};"
            f" {saved}; try another run with a lower --learning-rate or --clip-norm 1, or leave "
            "such steps out with --on-nonfinite skip"
        )
