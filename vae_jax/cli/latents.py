"""``vae-jax latents``: plot encodings as tutorial 004 does, or projected to two dimensions."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import (
    data_option,
    dimensions_option,
    json_option,
    seed_option,
    trained_options,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vae_jax.data import Dataset
    from vae_jax.distributions import Posterior
    from vae_jax.pretrained import Pretrained
    from vae_jax.typing import AnyArray, Labels


@click.command()
@trained_options
@data_option
@click.option("--count", default=1000, type=click.IntRange(1), help="Training images to encode.")
@dimensions_option
@click.option(
    "--project",
    type=click.Choice(["pca", "tsne"]),
    help="Plot two principal components, or t-SNE, instead of two latent dimensions.",
)
@click.option(
    "--colour-by",
    default="class",
    metavar="ATTRIBUTE",
    help="Colour the points by class or by an attribute of the data.",
)
@seed_option
@click.option("--out", default="latents", help="Folder for the pictures.")
@json_option
def latents(
    loaded: Pretrained,
    data: str | None,
    count: int,
    dimensions: tuple[int, int] | None,
    project: str | None,
    colour_by: str,
    seed: int,
    out: str,
    as_json: bool,
) -> None:
    """Plot TRAINED's encodings of images: mean.png, std.png and posterior_and_prior.png.

    The first two are scatter plots of the posteriors' means and standard deviations, coloured by
    class; the third shows ten images decoded from their posteriors above ten from the prior, with
    the same noise. With --project, all dimensions of the means are projected to two, and standard
    deviations are left out. A plain autoencoder needs --project, and gets latent.png.
    """
    from vae_jax import figures
    from vae_jax.cli.encodings import encode_training_images, require_dimensions
    from vae_jax.errors import UserError

    if project and dimensions:
        raise UserError("--project and --dimensions exclude each other; leave out one")
    chosen = [] if project else require_dimensions(loaded, dimensions)
    posterior, images, dataset = encode_training_images(loaded, data, count)
    scatter = _scatter(dataset, colour_by, len(images))
    folder, middle = Path(out), posterior.mean
    reported: dict[str, object] = {}
    title = "Mean" if loaded.spec.variational else "Latent"
    if project:
        points, names = _projected(middle, project, seed)
        reported["axes"] = names
        drawn = [(title, points)]
    else:
        names = [f"dimension {number}" for number in chosen]
        drawn = [("Mean", posterior.mean[:, chosen]), ("Std", posterior.std[:, chosen])]
    for title, points in drawn:
        figure = scatter(points, title)
        figure.axes[0].set(xlabel=names[0], ylabel=names[1])
        figures.save_figure(figure, folder / f"{title.lower()}.png")
    if loaded.spec.variational:
        table = _posterior_and_prior(loaded, posterior, images.labels, seed)
        figures.save_figure(table, folder / "posterior_and_prior.png")
    summary = {
        "images": len(images),
        "mean": {"low": middle.min(0).tolist(), "high": middle.max(0).tolist()},
        "pictures": str(folder),
    }
    reported = summary | reported
    axes = f" ({', '.join(names)})" if project else ""
    line = f"{len(images)} images of {loaded.name}{axes}: {out}"
    click.echo(json.dumps(reported) if as_json else line)


def _projected(points: AnyArray, project: str, seed: int) -> tuple[AnyArray, list[str]]:
    """Project points to two dimensions; return them with the dimensions' names."""
    from vae_jax.latents import principal_components, tsne

    if project == "tsne":
        return tsne(points, seed), ["t-SNE 0", "t-SNE 1"]
    found = principal_components(points, 2)
    names = [
        f"component {number}: {fraction:.1%} of the variance"
        for number, fraction in enumerate(found.explained_fraction)
    ]
    return found.coordinates, names


def _scatter(dataset: Dataset, attribute: str, count: int) -> Callable[[AnyArray, str], Figure]:
    """Return a function that plots points under a title, coloured by an attribute."""
    import numpy as np

    from vae_jax import figures
    from vae_jax.latents import attribute_column, attribute_columns

    columns = attribute_columns(dataset)
    values = attribute_column(columns, attribute, dataset.name)[:count]
    if values.dtype.kind == "f":
        return lambda points, title: figures.value_scatter(
            points, values, title=title, name=attribute
        )
    if attribute == "class":  # numbered as in the data, so that colours do not depend on the count
        labels, names = dataset.train.labels[:count], dataset.class_names
    else:
        names, labels = np.unique(columns[attribute], return_inverse=True)
        labels, names = labels[:count], tuple(names.tolist())
    return lambda points, title: figures.latent_scatter(
        points, labels, title=title, class_names=names if len(names) > 1 else None
    )


def _posterior_and_prior(
    loaded: Pretrained, posterior: Posterior, labels: Labels, seed: int
) -> Figure:
    """Draw ten images decoded from their posteriors above ten from the prior."""
    import jax
    import numpy as np

    from vae_jax import figures
    from vae_jax.cli.drawing import decode_unit
    from vae_jax.distributions import example_noise

    ten: Posterior = jax.tree.map(operator.itemgetter(slice(10)), posterior)
    noise = example_noise(jax.random.key(seed), len(ten.mean), loaded.latent_size)
    rows = [decode_unit(loaded, z, labels[:10]) for z in (ten.reparameterize(noise), noise)]
    return figures.image_table(
        np.concatenate(rows), len(rows[0]), row_titles=("posterior", "prior")
    )
