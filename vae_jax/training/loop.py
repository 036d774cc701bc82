"""The loop: epochs of batches through the compiled step, with a checkpoint and a figure after each.

Source: the tutorials' loops (listing 7.3 and section 7.4.2 of tutorial 002).
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vae_jax.corruption import parse_corruption
from vae_jax.data import Dataset, num_batches, require_labels
from vae_jax.errors import RunError
from vae_jax.models import create_model, get_spec
from vae_jax.objectives import make_loss
from vae_jax.optim import optimizer_of
from vae_jax.training import run as run_folder
from vae_jax.training.checkpoint import Checkpoints
from vae_jax.training.compile_time import compile_seconds
from vae_jax.training.epoch import LONGEST_CALL, EpochSteps, stays_on_device
from vae_jax.training.progress import Progress
from vae_jax.training.run import Run
from vae_jax.training.state import TrainState, check_variables, create_state
from vae_jax.training.step import Metrics, make_train_step
from vae_jax.typing import Variables

OnEpoch = Callable[[int, Variables], Any]

_FIRST_CALL = 8  # steps handed to the device before the host waits; then more, for as long as this:
_SECONDS_A_CALL = 0.5


@dataclasses.dataclass(frozen=True)
class Result:
    """What a run ends with: its last state and its epochs' records, as in ``metrics.jsonl``."""

    state: TrainState
    epochs: list[dict[str, Any]]


def train(
    run: Run,
    dataset: Dataset,
    *,
    resume: bool = False,
    variables: Variables | None = None,
    opt_state: Any = None,
    checkpoint_every: int | None = None,
    on_epoch: OnEpoch | None = None,
) -> Result:
    """Trains a model as its recipe says.

    Args:
        run: folder, model and recipe.
        dataset: images of the model's shape.
        resume: continue the run that the folder holds, exactly where its last checkpoint was.
        variables: weights to start from; default: the reference's initial distributions.
        opt_state: state of the recipe's optimiser to start from, beside ``variables``; default: a
            fresh one. The run's own steps are counted from 0 all the same.
        checkpoint_every: steps between checkpoints; default: one after each epoch.
        on_epoch: called with the epoch's number (0 before training) and the variables.

    Raises:
        RunError: the folder holds a run and ``resume`` is off, or holds none and it is on, or
            the recipe differs; or the loss is no longer finite.
        DataError: a label that the model does not know.
        CheckpointError: ``variables`` are not the model's; nothing is written.
    """
    recipe = run.recipe
    model = create_model(run.model, **run.hyper)
    optimizer = optimizer_of(recipe)
    require_labels(dataset, get_spec(run.model).num_classes)
    init_key, noise_key = jax.random.split(jax.random.key(recipe.seed))
    num_steps = num_batches(len(dataset.train), recipe.batch_size, recipe.drop_remainder)
    if variables is not None:
        check_variables(model, variables)
    _prepare_folder(run, dataset, resume)
    state = create_state(model, optimizer, init_key, variables, opt_state)
    with contextlib.ExitStack() as cleanup:
        checkpoints = cleanup.enter_context(contextlib.closing(Checkpoints(run.checkpoints)))
        if resume and checkpoints.latest_step is not None:
            state = checkpoints.restore(state)
        elif variables is not None or recipe.epochs == 0:
            checkpoints.save(state)  # lest a run stopped before its first one lose its weights
        done, start = divmod(int(state.step), num_steps)
        if recipe.epochs * num_steps < int(state.step):
            raise RunError(
                f"{run.path} has trained {int(state.step)} steps of {num_steps} an epoch already; "
                "expected --epochs of no fewer to resume it"
            )
        run_folder.set_epochs(run)
        records = _kept_records(run, int(state.step), num_steps)
        if start == 0 and on_epoch is not None:
            # Before training; and again after a resume, lest a kill came before the figure.
            on_epoch(done, state.variables)
        steps = _Steps(run, dataset, model, optimizer, noise_key, checkpoints, checkpoint_every)
        cleanup.callback(steps.steps.close)
        for epoch in range(done + 1, recipe.epochs + 1):
            # A run stopped within an epoch keeps the sums of its first part as the last record.
            totals = records.pop()["totals"] if start else {}
            state, record = steps.run_epoch(epoch, state, start, totals)
            start = 0
            records.append(record)
            run_folder.append_metrics(run, record)  # first: a checkpoint never lacks its record
            checkpoints.save(state)
            if on_epoch is not None:
                on_epoch(epoch, state.variables)
    run_folder.rewrite_metrics(run, records)  # without the sums within epochs
    return Result(state, records)


class _Steps:
    """The compiled step of a run, and an epoch of it."""

    def __init__(self, run, dataset, model, optimizer, noise_key, checkpoints, checkpoint_every):
        spec = get_spec(run.model)
        self.run, self.dataset = run, dataset
        self.checkpoints, self.checkpoint_every = checkpoints, checkpoint_every
        noisy = run.recipe.corrupt
        train_step = make_train_step(
            make_loss(run.model, recipe=run.recipe, **run.hyper),
            optimizer,
            latent_size=model.latent_size if spec.variational else None,
            pixel_range=spec.pixel_range,
            num_classes=spec.num_classes,
            corruption=None if noisy == "none" else parse_corruption(noisy),
            noise_scale=run.recipe.noise,
        )
        self.steps = EpochSteps(
            train_step,
            dataset.train,
            run.recipe,
            takes_label=spec.num_classes > 0,
            key=noise_key,
            resident=stays_on_device(model, dataset.train),
        )

    def run_epoch(
        self, epoch: int, state: TrainState, start: int, totals: dict[str, float]
    ) -> tuple[TrainState, dict[str, Any]]:
        """The batches of an epoch from number ``start`` on; ``totals`` are the sums before it."""
        recipe = self.run.recipe
        num_steps = num_batches(len(self.dataset.train), recipe.batch_size, recipe.drop_remainder)
        started, compiling = time.perf_counter(), compile_seconds()
        progress = Progress(epoch, num_steps, start)
        every, index, count = self.checkpoint_every or num_steps, start, _FIRST_CALL
        while index < num_steps:
            count = min(count, num_steps - index, every - index % every)
            called = time.perf_counter()
            state, metrics = self.steps.run(state, epoch, index, count)
            index += count
            self._add(totals, metrics, int(state.step))
            progress.update(index, totals["loss"] / index)
            if time.perf_counter() - called < _SECONDS_A_CALL / 2:
                count = min(2 * count, LONGEST_CALL)
            if index % every == 0 and index < num_steps:
                record = {"step": int(state.step), "totals": totals}
                run_folder.append_metrics(self.run, record)  # first, as above
                self.checkpoints.save(state)
        progress.close()
        scale = num_steps if recipe.epoch_loss == "mean" else 1
        names = ["loss", *(name for name in totals if name != "loss")]
        record = {"epoch": epoch, "step": int(state.step)}
        record |= {name: totals[name] / scale for name in names}
        record["seconds"] = round(time.perf_counter() - started, 3)
        record["compile_seconds"] = round(compile_seconds() - compiling, 3)
        progress.report(record)
        return state, record

    def _add(self, totals: dict[str, float], steps: list[Metrics], step: int):
        """Adds the steps' metrics to the epoch's sums; the one place where the host waits."""
        for metrics in jax.device_get(steps):
            for name, values in metrics.items():
                # One after another: the sum does not depend on how steps are joined in calls.
                totals[name] = sum(np.ravel(values).tolist(), totals.get(name, 0.0))
        if not math.isfinite(totals["loss"]):
            raise RunError(
                f"the loss is no longer finite by step {step} of {self.run.path}; checkpoints "
                "saved before it, if any, are kept; try another run with a lower --learning-rate"
            )


def _prepare_folder(run: Run, dataset: Dataset, resume: bool) -> None:
    data = {
        "source": dataset.name,
        "fingerprint": dataset.fingerprint,
        "train_examples": len(dataset.train),
        "test_examples": 0 if dataset.test is None else len(dataset.test),
    }
    if not resume:
        run_folder.create_run(run, data)
    elif run_folder.is_run(run.path):
        run_folder.check_resume(run_folder.open_run(run.path), run, data)
    else:
        raise RunError(f"{run.path} holds no run to resume; leave out --resume to start one")


def _kept_records(run: Run, step: int, num_steps: int) -> list[dict[str, Any]]:
    """The records up to a step, the file cut back to them: whole epochs, and within an epoch the
    sums so far as the last one."""
    kept = [
        r
        for r in run_folder.read_metrics(run)
        if r["step"] <= step and ("epoch" in r or r["step"] == step)
    ]
    if step % num_steps == 0:
        kept = [r for r in kept if "epoch" in r]
    elif not kept or "totals" not in kept[-1]:
        raise RunError(
            f"{run.metrics} lacks the sums of epoch {step // num_steps + 1} up to step {step}, "
            "where the last checkpoint stands; restore the file, or start another run from these "
            f"weights: --init {run.path} --out ..."
        )
    run_folder.rewrite_metrics(run, kept)
    return kept
