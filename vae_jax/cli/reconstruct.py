"""``vae-jax reconstruct``: draw images above their reconstructions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import (
    data_option,
    json_option,
    label_option,
    picture_option,
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
@picture_option("reconstructions.png")
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
    from vae_jax.cli.drawing import reconstruct_unit, reconstruction_figure
    from vae_jax.cli.inputs import stored_images

    stored, labels = stored_images(loaded, images, data, count, label)
    originals, decoded = pairs = reconstruct_unit(loaded, stored, labels)
    loaded.require_finite(decoded)
    source = None if images else data or loaded.recipe.data
    title = f"reconstructions by {loaded.name}"
    path = figures.save_figure(reconstruction_figure(loaded, source, pairs, title), Path(out))
    error = float(((originals - decoded) ** 2).sum(axis=(1, 2, 3)).mean())
    if as_json:
        click.echo(
            json.dumps({"images": len(stored), "squared_error": error, "picture": str(path)})
        )
    else:
        click.echo(f"{len(stored)} images, squared error {error:.4f} per image: {path}")
