"""``vae-jax models``: the table of models."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import click

from vae_jax.cli.options import json_option
from vae_jax.markdown import table
from vae_jax.spec import ModelSpec


@click.command()
@click.option("--markdown", is_flag=True, help="Print the README's table.")
@json_option
def models(markdown: bool, as_json: bool) -> None:
    """List the models with their hyperparameters and recipes."""
    from vae_jax.models import MODELS
    from vae_jax.models.hyper import format_hyperparameter

    if markdown:
        click.echo(markdown_table(MODELS))
        return

    if as_json:
        click.echo(json.dumps({name: _describe(spec) for name, spec in MODELS.items()}, indent=2))
        return
    for name, spec in MODELS.items():
        recipe, ref = spec.recipe, spec.reference
        hyper = ", ".join(
            f"{k}={format_hyperparameter(v)}" for k, v in spec.hyperparameters().items()
        )
        click.echo(f"{name}  {spec.summary}")
        click.echo(f"  original         {ref.framework}, tutorial {ref.tutorial}; {ref.checkpoint}")
        click.echo(f"  hyperparameters  {hyper}")
        click.echo(
            f"  recipe           {recipe.epochs} epochs, batch {recipe.batch_size}, learning rate "
            f"{recipe.learning_rate:g}, weight decay {recipe.weight_decay:g}, data {recipe.data}"
        )


def markdown_table(models: Mapping[str, ModelSpec]) -> str:
    """Return the README's table of models."""
    rows: list[list[str]] = []
    for name, spec in models.items():
        original = f"{spec.reference.framework}, tutorial {spec.reference.tutorial}"
        rows.append([f"`{name}`", spec.summary, original, spec.reference.checkpoint])
    return table(["model", "what it is", "original", "its checkpoint"], rows)


def _describe(spec: ModelSpec) -> dict[str, object]:
    return {
        "summary": spec.summary,
        "image_shape": spec.module.image_shape,
        "hyperparameters": spec.hyperparameters(),
        "reference": {
            field: getattr(spec.reference, field)
            for field in ("framework", "tutorial", "checkpoint", "parts")
        },
        "num_classes": spec.num_classes,
        "recipe": dataclasses.asdict(spec.recipe),
    }
