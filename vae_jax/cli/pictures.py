"""``vae-jax reconstruct`` and ``vae-jax sample``: draw reconstructions and samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import (
    data_option,
    json_option,
    label_option,
    seed_option,
    trained_options,
)

if TYPE_CHECKING:
    from vae_jax.pretrained import Pretrained


@click.command()
@trained_options
@click.argument("images", nargs=-1, type=click.Path())
@data_option
@click.option("--count", default=16, type=click.IntRange(1), help="Images to take from the data.")
@label_option
@click.option("--out", default="reconstructions.png", help="The picture to write.")
@json_option
def reconstruct(
    loaded: Pretrained,
    images: tuple[str, ...],
    data: str | None,
    count: int,
    label: tuple[int, ...],
    out: str,
    as_json: bool,
) -> None:
    """Draw images above their reconstructions by TRAINED.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file. The images
    are the IMAGES given, or the first of a data source (its test images if it has any). For a
    model with labels, give --label with IMAGES, one for all or one each; a data source has its own.
    """
    from vae_jax import figures
    from vae_jax.cli.drawing import reconstruct_unit
    from vae_jax.cli.inputs import stored_images

    stored, labels = stored_images(loaded, images, data, count, label)
    originals, decoded = reconstruct_unit(loaded, stored, labels)
    loaded.require_finite(decoded)
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
        click.echo(f"{len(stored)} images, squared error {error:.4f} per image: {path}")


@click.command()
@trained_options
@click.option(
    "--count",
    type=click.IntRange(1),
    show_default="as in the tutorial's figure",
    help="Images to draw; for a model with labels, images per label.",
)
@label_option
@seed_option
@click.option("--out", default="samples.png", help="The picture to write.")
def sample(
    loaded: Pretrained,
    count: int | None,
    label: tuple[int, ...],
    seed: int,
    out: str,
) -> None:
    """Draw images that TRAINED decodes from the prior.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file. A model with
    labels draws one row per label, or per --label given.
    """
    from vae_jax import figures
    from vae_jax.cli.drawing import sample_figure

    path = figures.save_figure(sample_figure(loaded, count, seed, list(label)), Path(out))
    click.echo(f"samples of {loaded.name}, seed {seed}: {path}")
