"""``vae-jax train``: train a model; every field of its recipe is an option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vae_jax.cli.devices import device_options, join_devices, run_options
from vae_jax.cli.options import (
    hyper_option,
    json_option,
    key_option,
    recipe_options,
    set_fields,
    setup_jax,
)


@click.command()
@click.argument("model")
@recipe_options
@hyper_option
@click.option(
    "--out", default=None, show_default="runs/MODEL", help="Run folder to write or resume."
)
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--init", default=None, help="Weights to start from: a run, folder or file.")
@key_option
@click.option(
    "--fresh-optimizer",
    is_flag=True,
    help="Load only the weights from --init, not the optimiser state.",
)
@run_options
@device_options
@json_option
def train(
    model: str,
    hyper: dict[str, object],
    out: str | None,
    resume: bool,
    init: str | None,
    key: str | None,
    fresh_optimizer: bool,
    as_json: bool,
    devices: dict[str, Any],
    choices: dict[str, Any],
    **fields: object,
) -> None:
    """Train MODEL (`vae-jax models` lists them) and write a run folder.

    The folder holds run.json, metrics.jsonl, checkpoints/ and, for each epoch, the tutorial's
    figure in figures/. If the file given with --init holds the original's Adam state (for Paddle:
    if a .pdopt file is beside it), training continues with it: the next step is the one that the
    original would take.

    On SIGTERM or Ctrl-C the run is saved and ends with status 75; --resume continues it.
    """
    setup_jax(devices=False)  # before other hosts are joined there must be none
    parallel = join_devices(**devices)
    from vae_jax.cli.drawing import epoch_figure
    from vae_jax.data import open_training_data
    from vae_jax.errors import RunError, UserError
    from vae_jax.models import create_model, get_spec
    from vae_jax.models.hyper import parse_hyperparameters
    from vae_jax.optimizer_transfer import import_optimizer
    from vae_jax.pretrained import load
    from vae_jax.training import run as run_folder
    from vae_jax.training.epoch_runner import Options
    from vae_jax.training.hosts import is_main, on_every, require_same
    from vae_jax.training.loop import train as train_model
    from vae_jax.training.start_line import start_line
    from vae_jax.training.stopping import catching_signals

    spec, path = get_spec(model), Path(out or f"runs/{model}").absolute()
    require_same("--out", str(path))
    recipe = spec.recipe
    if resume:
        if init:
            raise UserError("--resume continues from the run's own weights; leave out --init")
        old = on_every(lambda: run_folder.open_run(path))
        if old.model != model:
            raise RunError(f"{path} is a run of {old.model}, not of {model}")
        recipe, hyper = old.recipe, hyper or old.hyper
    chosen = set_fields(fields)
    recipe, variables, adam = recipe.replace(**chosen), None, None
    remarks: tuple[str, ...] = ()
    if init:
        trained = on_every(lambda: load(init, model, key=key, **hyper))
        variables, hyper, remarks = trained.variables, trained.hyper, trained.remarks
        if not fresh_optimizer:
            adam = import_optimizer(trained, recipe, chosen)
    elif fresh_optimizer or key is not None:
        raise UserError(f"{'--fresh-optimizer' if fresh_optimizer else '--key'} needs --init")
    hyper = parse_hyperparameters(spec, hyper)
    begun: tuple[int | None, int | None] = (None, None)
    if adam is not None:
        recipe, begun = adam.recipe, (adam.steps, adam.epoch)
        remarks = (*adam.lines, *remarks)
    for line in () if as_json else remarks:
        click.echo(line)
    run = run_folder.Run(path, model, hyper, recipe, init, *begun)
    image_shape = create_model(model, **hyper).image_shape
    dataset = on_every(lambda: open_training_data(run.recipe, image_shape))
    with catching_signals() as stop:
        result = train_model(
            run,
            dataset,
            resume=resume,
            variables=variables,
            opt_state=adam.opt_state if adam else None,
            on_epoch=epoch_figure(run, dataset),
            on_start=lambda: click.echo(start_line(run, dataset, parallel), err=True),
            parallel=parallel,
            options=Options(stop=stop, **choices),
        )
    if not is_main():
        return
    if as_json:
        figures: dict[str, Any] = {"run": str(path), "epochs": result.epochs}
        if adam:
            figures["init_optimizer_steps"] = adam.steps
        if remarks:
            figures["remarks"] = remarks
        click.echo(json.dumps(figures))
    else:
        click.echo(f"trained {model} to step {int(result.state.step)}: {path}")
