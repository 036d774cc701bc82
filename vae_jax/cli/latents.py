"""``vae-jax latents`` and ``vae-jax manifold``: the latent space as tutorial 004 draws it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from vae_jax.cli.options import checkpoint_options, json_option, label_option, setup_jax

dimensions_option = click.option(
    "--dimensions",
    nargs=2,
    default=(0, 1),
    type=click.IntRange(0),
    help="The two latent dimensions to draw, from 0.",
)


@click.command()
@click.argument("trained")
@click.option("--data", help="Data source; default: the one it was trained on.")
@click.option("--count", default=1000, type=click.IntRange(1), help="Training images to encode.")
@dimensions_option
@click.option("--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of the noise.")
@click.option("--out", default="latents", help="Folder of the pictures.")
@checkpoint_options
@json_option
def latents(
    trained: str,
    data: str | None,
    count: int,
    dimensions: tuple[int, int],
    seed: int,
    out: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, Any],
    as_json: bool,
) -> None:
    """Draw where TRAINED puts images: mean.png, std.png and posterior_and_prior.png.

    The first two are scatters of the posteriors' means and standard deviations, coloured by
    class; the third has ten images decoded from their posteriors above ten from the prior, drawn
    with the same noise.
    """
    setup_jax()
    import jax
    import numpy as np

    from vae_jax import figures
    from vae_jax.cli import drawing
    from vae_jax.cli.trained import load_trained
    from vae_jax.training.step import example_noise

    loaded = load_trained(trained, model, key, hyper)
    chosen = _require_dimensions(loaded, dimensions)
    posterior, labels, names = _encoded(loaded, data, count)
    folder = Path(out)
    for title, values in (("Mean", posterior.mean), ("Std", posterior.std)):
        figure = figures.latent_scatter(
            values[:, chosen], labels, title=title, class_names=names if len(names) > 1 else None
        )
        # Counted from 1, as the tutorial does.
        horizontal, vertical = (f"Dimension {number + 1}" for number in chosen)
        figure.axes[0].set(xlabel=horizontal, ylabel=vertical)
        figures.save_figure(figure, folder / f"{title.lower()}.png")
    ten = jax.tree.map(lambda leaf: leaf[:10], posterior)
    noise = example_noise(jax.random.key(seed), len(ten.mean), loaded.model.latent_size)
    rows = [drawing.decode(loaded, z, labels[:10]) for z in (ten.reparameterize(noise), noise)]
    drawing.require_finite(loaded, np.concatenate(rows))
    table = figures.image_table(
        np.concatenate(rows), len(rows[0]), row_titles=("posterior", "prior")
    )
    figures.save_figure(table, folder / "posterior_and_prior.png")
    summary = {
        "images": len(labels),
        "mean": {"low": posterior.mean.min(0).tolist(), "high": posterior.mean.max(0).tolist()},
        "pictures": str(folder),
    }
    click.echo(json.dumps(summary) if as_json else f"{len(labels)} images of {loaded.name}: {out}")


@click.command()
@click.argument("trained")
@click.option("--data", help="Data source; default: the one it was trained on.")
@click.option("--count", default=1000, type=click.IntRange(1), help="Training images to encode.")
@click.option(
    "--around", default=0.0, type=float, help="Go this far beyond the means on every side."
)
@dimensions_option
@click.option("--rows", default=20, type=click.IntRange(1), help="Pictures from top to bottom.")
@click.option("--columns", default=20, type=click.IntRange(1), help="Pictures from left to right.")
@label_option
@click.option("--out", default="manifold.png", help="The picture to write; one a label.")
@checkpoint_options
def manifold(
    trained: str,
    data: str | None,
    count: int,
    around: float,
    dimensions: tuple[int, int],
    rows: int,
    columns: int,
    label: tuple[int, ...],
    out: str,
    model: str | None,
    key: str | None,
    hyper: dict[str, Any],
) -> None:
    """Draw what TRAINED decodes on a grid over the range of its posterior means.

    The second dimension grows from the bottom to the top; further dimensions stay at 0. A model
    with labels draws a picture of each --label.
    """
    setup_jax()
    import numpy as np

    from vae_jax import figures
    from vae_jax.cli import drawing
    from vae_jax.cli.trained import load_trained
    from vae_jax.errors import UserError
    from vae_jax.latents import manifold_grid

    loaded = load_trained(trained, model, key, hyper)
    chosen = _require_dimensions(loaded, dimensions)
    if bool(label) != bool(loaded.spec.num_classes):
        wanted = "needs --label (once or more)" if not label else "takes no label"
        raise UserError(f"{loaded.name} {wanted}")
    if not math.isfinite(around):
        raise UserError(f"--around is {around}; expected a finite number")
    drawing.one_hot(loaded, list(label))  # before the first picture
    posterior, _, _ = _encoded(loaded, data, count)
    means = posterior.mean[:, chosen]
    low, high = means.min(0) - around, means.max(0) + around
    z = np.zeros((rows * columns, loaded.model.latent_size), np.float32)
    z[:, chosen] = manifold_grid((low[0], high[0]), (low[1], high[1]), columns, rows)
    target = Path(out)
    for number in label or (None,):
        labels = None if number is None else np.full(len(z), number)
        pictures = drawing.decode(loaded, z, labels)
        drawing.require_finite(loaded, pictures)
        table = figures.image_table(pictures, columns)
        path = target if len(label) < 2 else target.with_stem(f"{target.stem}_{number}")
        click.echo(
            f"dimension {chosen[0]} from {low[0]:.3g} to {high[0]:.3g}, dimension {chosen[1]} from "
            f"{low[1]:.3g} to {high[1]:.3g}: {figures.save_figure(table, path)}"
        )


def _require_dimensions(loaded, dimensions: tuple[int, int]) -> list[int]:
    from vae_jax.errors import UserError

    size = loaded.model.latent_size
    if not loaded.spec.variational:
        raise UserError(f"{loaded.name} is a plain autoencoder; expected a model with a posterior")
    if max(dimensions) >= size or dimensions[0] == dimensions[1]:
        raise UserError(
            f"--dimensions {dimensions[0]} {dimensions[1]}: expected two of 0 to {size - 1}"
        )
    return list(dimensions)


def _encoded(loaded, data: str | None, count: int):
    """The posteriors of the first training images, their labels, and the names of the classes."""
    from vae_jax.cli import drawing
    from vae_jax.cli.inputs import open_training_data
    from vae_jax.training.step import scale_pixels

    recipe = loaded.recipe.replace(data=data, images="all") if data else loaded.recipe
    dataset = open_training_data(recipe, loaded.model.image_shape)
    images, labels = dataset.train.images[:count], dataset.train.labels[:count]
    x = scale_pixels(images, loaded.spec.pixel_range)
    return drawing.encode(loaded, x, labels), labels, dataset.class_names
