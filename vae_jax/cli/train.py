"""``vae-jax train``: a model by its tutorial's recipe, every field of which is an option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vae_jax.cli.options import (
    hyper_option,
    json_option,
    recipe_options,
    set_fields,
    setup_jax,
)


@click.command()
@click.argument("model")
@recipe_options
@hyper_option
@click.option(
    "--out", default=None, show_default="runs/MODEL", help="Run folder; or the one to resume."
)
@click.option("--resume", is_flag=True, help="Continue the run in --out.")
@click.option("--init", default=None, help="Start from these weights: a run, folder or file.")
@click.option("--checkpoint-every", type=click.IntRange(1), help="Also save every so many steps.")
@json_option
def train(
    model: str,
    hyper: dict[str, Any],
    out: str | None,
    resume: bool,
    init: str | None,
    checkpoint_every: int | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Train MODEL (`vae-jax models` lists them) and write a run folder.

    The folder holds run.json, metrics.jsonl, checkpoints/ and, after each epoch, the tutorial's
    figure in figures/.
    """
    setup_jax()
    from vae_jax.cli.drawing import epoch_figure
    from vae_jax.cli.inputs import open_training_data
    from vae_jax.cli.trained import load_trained
    from vae_jax.errors import RunError, UserError
    from vae_jax.models import create_model, get_spec
    from vae_jax.models.hyper import canonical
    from vae_jax.training import run as run_folder
    from vae_jax.training.loop import train as train_model

    spec, path = get_spec(model), Path(out or f"runs/{model}").absolute()
    recipe = spec.recipe
    if resume:
        if init:
            raise UserError("--resume continues a run's own weights; leave out --init")
        old = run_folder.open_run(path)
        if old.model != model:
            raise RunError(f"{path} is a run of {old.model}, not of {model}")
        recipe, hyper = old.recipe, hyper or old.hyper
    else:
        run_folder.require_no_run(path)  # before anything slow
    variables = None
    if init:
        trained = load_trained(init, model=model, hyper=hyper)
        variables, hyper = trained.variables, trained.hyper
    hyper = canonical(spec, hyper)
    run = run_folder.Run(path, model, hyper, recipe.replace(**set_fields(fields)), init)
    dataset = open_training_data(run.recipe, create_model(model, **hyper).image_shape)
    result = train_model(
        run,
        dataset,
        resume=resume,
        variables=variables,
        checkpoint_every=checkpoint_every,
        on_epoch=epoch_figure(run, dataset),
    )
    if as_json:
        click.echo(json.dumps({"run": str(path), "epochs": result.epochs}))
    else:
        click.echo(f"trained {model} to step {int(result.state.step)}: {path}")
