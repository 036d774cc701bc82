"""``vae-jax reconstruct`` and ``vae-jax sample``: look at what a trained model does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from vae_jax.cli.options import hyper_option, json_option, key_option, model_option, setup_jax


@click.command()
@click.argument("trained")
@click.argument("images", nargs=-1, type=click.Path())
@click.option("--data", help="Data source; default: the one it was trained on.")
@click.option("--count", default=16, type=click.IntRange(1), help="Images to take from the data.")
@click.option("--out", default="reconstructions.png", help="The picture to write.")
@model_option
@key_option
@hyper_option
@json_option
def reconstruct(
    trained: str,
    images: tuple[str, ...],
    data: str | None,
    count: int,
    out: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, Any],
    as_json: bool,
) -> None:
    """Draw images above their reconstructions by TRAINED.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file. The images
    are the IMAGES given, or the first of a data source (its test images where it has them).
    """
    setup_jax()
    import numpy as np

    from vae_jax import figures
    from vae_jax.cli.drawing import reconstruct as run
    from vae_jax.cli.trained import load_trained
    from vae_jax.errors import UserError
    from vae_jax.models import create_model, get_spec

    loaded = load_trained(trained, model, key, hyper)
    spec, network = get_spec(loaded.name), create_model(loaded.name, **loaded.hyper)
    stored = _stored_images(images, data or loaded.data or spec.recipe.data, count, network)
    originals, decoded = run(network, loaded.variables, stored, spec.pixel_range)
    draw = (
        figures.reconstruction_rows
        if spec.epoch_figure == "reconstructions"
        else figures.reconstruction_grid
    )
    if not np.isfinite(decoded).all():
        raise UserError(f"{trained}: the reconstructions are not finite; its weights hold NaN?")
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
@click.option("--count", default=18, type=click.IntRange(1), help="Images to draw.")
@click.option("--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of the noise.")
@click.option("--out", default="samples.png", help="The picture to write.")
@model_option
@key_option
@hyper_option
def sample(
    trained: str,
    count: int,
    seed: int,
    out: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, Any],
) -> None:
    """Draw images that TRAINED decodes from the prior.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file.
    """
    setup_jax()
    from vae_jax import figures
    from vae_jax.cli.drawing import sample as run
    from vae_jax.cli.trained import load_trained
    from vae_jax.errors import UserError
    from vae_jax.models import create_model, get_spec

    loaded = load_trained(trained, model, key, hyper)
    spec = get_spec(loaded.name)
    if not spec.variational:
        raise UserError(
            f"{loaded.name} is a plain autoencoder: it has no prior to sample from; use "
            "vae-jax reconstruct"
        )
    network = create_model(loaded.name, **loaded.hyper)
    pictures = run(network, loaded.variables, count, seed, spec.pixel_range)
    path = figures.save_figure(figures.sample_grid(pictures), Path(out))
    click.echo(f"{count} samples of {loaded.name}, seed {seed}: {path}")


def _stored_images(images: tuple[str, ...], data: str, count: int, network: Any):
    import numpy as np

    from vae_jax.data import open_dataset, open_picture

    if images:
        return np.stack([open_picture("the picture given", i, network.image_shape) for i in images])
    dataset = open_dataset(data, network.image_shape)
    return np.asarray((dataset.test or dataset.train).images[:count])
