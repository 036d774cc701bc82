"""``vae-jax reconstruct`` and ``vae-jax sample``: look at what a trained model does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vae_jax.cli.options import checkpoint_options, json_option, label_option, setup_jax


@click.command()
@click.argument("trained")
@click.argument("images", nargs=-1, type=click.Path())
@click.option("--data", help="Data source; default: the one it was trained on.")
@click.option("--count", default=16, type=click.IntRange(1), help="Images to take from the data.")
@label_option
@click.option("--out", default="reconstructions.png", help="The picture to write.")
@checkpoint_options
@json_option
def reconstruct(
    trained: str,
    images: tuple[str, ...],
    data: str | None,
    count: int,
    label: tuple[int, ...],
    out: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, Any],
    as_json: bool,
) -> None:
    """Draw images above their reconstructions by TRAINED.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file. The images
    are the IMAGES given, or the first of a data source (its test images where it has them). A
    model with labels takes them from the data; give --label with IMAGES, one for all or one each.
    """
    setup_jax()
    from vae_jax import figures
    from vae_jax.cli import drawing
    from vae_jax.cli.inputs import stored_images
    from vae_jax.cli.trained import load_trained

    loaded = load_trained(trained, model, key, hyper)
    stored, labels = stored_images(loaded, images, data, count, label)
    originals, decoded = drawing.reconstruct(loaded, stored, labels)
    drawing.require_finite(loaded, decoded)
    draw = (
        figures.reconstruction_rows
        if loaded.spec.epoch_figure == "reconstructions"
        else figures.reconstruction_grid
    )
    path = figures.save_figure(draw(originals, decoded), Path(out))
    error = float(((originals - decoded) ** 2).sum(axis=(1, 2, 3)).mean())
    if as_json:
        click.echo(
            json.dumps({"images": len(stored), "squared_error": error, "picture": str(path)})
        )
    else:
        click.echo(f"{len(stored)} images, squared error {error:.4f} an image: {path}")


@click.command()
@click.argument("trained")
@click.option(
    "--count",
    type=click.IntRange(1),
    show_default="as the tutorial's figure",
    help="Images to draw; for a model with labels, of each label.",
)
@label_option
@click.option("--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of the noise.")
@click.option("--out", default="samples.png", help="The picture to write.")
@checkpoint_options
def sample(
    trained: str,
    count: int | None,
    label: tuple[int, ...],
    seed: int,
    out: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, Any],
) -> None:
    """Draw images that TRAINED decodes from the prior.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file. A model with
    labels draws a row of each, or of those that --label names.
    """
    setup_jax()
    from vae_jax import figures
    from vae_jax.cli.drawing import sample_figure
    from vae_jax.cli.trained import load_trained

    loaded = load_trained(trained, model, key, hyper)
    path = figures.save_figure(sample_figure(loaded, count, seed, list(label)), Path(out))
    click.echo(f"samples of {loaded.name}, seed {seed}: {path}")
