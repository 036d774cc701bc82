"""The training loop: epochs of compiled steps, with a checkpoint and a figure after each.

Source: the tutorials' loops (listing 7.3 and section 7.4.2 of tutorial 002).
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
from collections.abc import Callable

import jax  # many of its functions have no full hints

from vae_jax.data import Dataset, absolute_source, num_batches, require_labels
from vae_jax.errors import RunError
from vae_jax.files import require_local
from vae_jax.models import create_model, get_spec
from vae_jax.optim import optimizer_of
from vae_jax.training import run as run_folder
from vae_jax.training.batch_statistics import require_batch_statistics
from vae_jax.training.checkpoint import say
from vae_jax.training.devices import make_parallel
from vae_jax.training.epoch_runner import EpochRunner, Options
from vae_jax.training.hosts import on_main
from vae_jax.training.lock import only_one
from vae_jax.training.metrics import Record, read_metrics, rewrite_metrics
from vae_jax.training.orbax_path import orbax_path
from vae_jax.training.parallel import Parallel
from vae_jax.training.run import Run
from vae_jax.training.saving import Checkpoints
from vae_jax.training.state import TrainState, check_variables, create_state
from vae_jax.training.stopping import StoppedError
from vae_jax.typing import Variables

OnEpoch = Callable[[int, Variables], object]


@dataclasses.dataclass(frozen=True)
class Result:
    """Result of a run: its last state and its epochs' records, as in ``metrics.jsonl``."""

    state: TrainState
    epochs: list[Record]


def train(
    run: Run,
    dataset: Dataset,
    *,
    resume: bool = False,
    variables: Variables | None = None,
    opt_state: object = None,
    on_epoch: OnEpoch | None = None,
    on_start: Callable[[], object] | None = None,
    parallel: Parallel | None = None,
    options: Options | None = None,
) -> Result:
    """Train a model by its recipe.

    Args:
        run: folder, model and recipe.
        dataset: images of the model's shape.
        resume: continue the folder's run from its last checkpoint.
        variables: weights to start from; default: the reference's initial distributions.
        opt_state: optimiser state to start from, together with ``variables``; default: a fresh
            one. The run's own steps are still counted from 0.
        on_epoch: called after each epoch with its number (0 before training) and the variables.
        on_start: called once on host 0 when the folder is ready, if there are steps to take.
        parallel: the devices, and how they share a step; default: one.
        options: when to save, how to treat steps that are not finite, and when to stop; default:
            ``Options()``.

    Returns:
        The result, with its state on one device or, from several, gathered as NumPy arrays.

    Raises:
        RunError: the folder holds a run and ``resume`` is off, or holds none and it is on; the
            recipe differs; another process trains there; the loss or its gradient is not finite;
            or something cannot be written.
        StoppedError: the run was asked to stop, and is saved.
        UserError: the folder is an address, or batch norm would normalise single values.
        DataError: the model does not know one of the labels.
        CheckpointError: ``variables`` are not the model's; nothing is written.
    """
    require_local(run.path)
    recipe, options = run.recipe, options or Options()
    parallel = parallel or make_parallel()
    model = create_model(run.model, **run.hyper)
    optimizer = optimizer_of(recipe)
    require_labels(dataset, get_spec(run.model).num_classes)
    init_key, noise_key = jax.random.split(jax.random.key(recipe.seed))
    num_steps = num_batches(len(dataset.train), recipe.batch_size, recipe.drop_remainder)
    # These raise before anything is written.
    width = parallel.width(recipe.batch_size, recipe.batch_norm_groups)
    require_batch_statistics(model, recipe, len(dataset.train), width)
    orbax_path(run.checkpoints)
    if variables is not None:
        check_variables(model, variables)
    with contextlib.ExitStack() as cleanup:
        on_main(lambda: _prepare_folder(run, dataset, resume, cleanup))
        state = create_state(model, optimizer, init_key, variables, opt_state)
        state = parallel.put_state(state)
        kept = {"keep": options.keep, "keep_best": options.keep_best}
        checkpoints = Checkpoints(run.checkpoints, parallel, **kept)
        cleanup.push(_closing(checkpoints))
        totals: Record = {}
        if resume and checkpoints.latest_step is not None:
            state, totals = checkpoints.restore(state)
        else:
            if resume and variables is None:
                on_main(lambda: run_folder.require_nothing_lost(run, len(read_metrics(run))))
            if variables is not None or recipe.epochs == 0:
                checkpoints.save(state)  # a run stopped in its first epoch must keep its weights
        step = parallel.step_of(state)
        done, start = divmod(step, num_steps)
        if recipe.epochs * num_steps < step:
            raise RunError(
                f"{run.path} has trained {step} steps of {num_steps} an epoch already; "
                "expected --epochs of no fewer to resume it"
            )
        on_main(lambda: _record_start(run, step, recipe.epochs * num_steps))
        records = on_main(lambda: _records_until(run, done, step)) or []
        if on_start is not None and step < recipe.epochs * num_steps:
            on_main(on_start)
        draw = _drawer(on_epoch, parallel)
        if start == 0:
            # After a resume this repeats the last figure, which a kill may have prevented.
            draw(done, state)
        epochs = EpochRunner(
            run, dataset, model, optimizer, noise_key, checkpoints, parallel, options
        )
        cleanup.callback(epochs.close)
        for epoch in range(done + 1, recipe.epochs + 1):
            state, record = epochs.run(epoch, state, start, totals)
            start, totals = 0, {}
            records.append(record)
            epochs.append(record)  # before saving: every checkpoint has its record
            skipped = record.get("skipped", 0)
            mean = record["loss"] / (1 if recipe.epoch_loss == "mean" else num_steps - skipped)
            checkpoints.save(state, loss=mean)
            draw(epoch, state)
            if epochs.stopping and epoch < recipe.epochs:
                raise epochs.stopped(state)
    return Result(parallel.on_one(state), records)


def _drawer(on_epoch: OnEpoch | None, parallel: Parallel) -> Callable[[int, TrainState], None]:
    """Return a function that gathers the state and calls ``on_epoch`` on host 0."""

    def draw(epoch: int, state: TrainState) -> None:
        if on_epoch is not None:
            variables = parallel.on_one(state).variables
            on_main(functools.partial(on_epoch, epoch, variables))

    return draw


def _closing(checkpoints: Checkpoints) -> Callable[..., None]:
    """Return an exit callback that finishes writing; its failure yields to an earlier error."""

    def close(_: object, error: BaseException | None, __: object) -> None:
        if error and jax.process_count() > 1 and not isinstance(error, StoppedError):
            return  # other hosts may not know of the error; waiting for them might never end
        try:
            checkpoints.close()
        except RunError:
            if error is None or isinstance(error, StoppedError):
                raise

    return close


def _prepare_folder(
    run: Run, dataset: Dataset, resume: bool, cleanup: contextlib.ExitStack
) -> None:
    """Lock the folder until ``cleanup``; write its ``run.json``, or check it for a resume."""
    data = {
        "source": dataset.name,
        "fingerprint": dataset.fingerprint,
        "train_examples": len(dataset.train),
        "test_examples": 0 if dataset.test is None else len(dataset.test),
    }
    if (absolute := absolute_source(dataset.name)) != dataset.name:
        data["absolute_source"] = absolute
    if resume and not run_folder.is_run(run.path):
        raise RunError(f"{run.path} holds no run to resume; leave out --resume to start one")
    if resume:
        sign = cleanup.enter_context(only_one(run.path))
        run_folder.check_resume(run_folder.open_run(run.path), run, data)
    else:
        run_folder.require_no_run(run.path)
        run_folder.make_folder(run)
        sign = cleanup.enter_context(only_one(run.path))
        run_folder.create_run(run, data)
    sign()


def _record_start(run: Run, step: int, num_steps: int) -> None:
    line = run_folder.record_start(run, step, num_steps)
    if line:
        say(line)


def _records_until(run: Run, done: int, step: int) -> list[Record]:
    """Cut ``metrics.jsonl`` back to the epochs that are done and return their records."""
    kept = [r for r in read_metrics(run) if r["step"] <= step]
    lost = sorted(set(range(1, done + 1)) - {r["epoch"] for r in kept})
    if lost:
        listed, kept_as = ", ".join(map(str, lost)), ""
        if run.metrics.is_file():
            shutil.copy(run.metrics, copy := run.metrics.with_name(f"damaged-{run.metrics.name}"))
            kept_as = f"; as it was it is kept as {copy.name}"
        say(f"{run.metrics} lacks the record of epoch {listed}: going on without{kept_as}")
    rewrite_metrics(run, kept)
    return kept
