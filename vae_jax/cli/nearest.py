"""``vae-jax nearest``: draw samples beside their nearest training images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import (
    data_option,
    json_option,
    label_option,
    picture_option,
    seed_option,
    trained_options,
)

if TYPE_CHECKING:
    from vae_jax.pretrained import Pretrained

_COMPARED = 200  # training images whose own nearest neighbours are found


@click.command()
@trained_options
@click.option("--count", default=6, type=click.IntRange(1), help="Samples to draw.")
@click.option("--neighbours", default=3, type=click.IntRange(1), help="Training images per sample.")
@data_option
@label_option
@seed_option
@picture_option("nearest.png")
@json_option
def nearest(
    loaded: Pretrained,
    count: int,
    neighbours: int,
    data: str | None,
    label: tuple[int, ...],
    seed: int,
    out: str,
    as_json: bool,
) -> None:
    """Draw samples of TRAINED beside their nearest training images, to detect memorisation.

    Distances are root mean square differences of pixels, from 0 to 1. For comparison, the distance
    to the nearest other training image is measured for up to 200 training images: samples much
    nearer than that are copies.
    """
    import numpy as np

    from vae_jax import figures, latents
    from vae_jax.cli.drawing import sample_unit
    from vae_jax.cli.encodings import training_data
    from vae_jax.errors import UserError

    if label and not loaded.spec.num_classes:
        raise UserError(f"{loaded.name} takes no label; leave out label (--label)")
    classes = label or range(loaded.spec.num_classes)
    labels = np.resize(classes, count) if loaded.spec.num_classes else None
    samples = sample_unit(loaded, count, seed, labels)
    loaded.require_finite(samples)
    dataset = training_data(loaded, data)
    images = dataset.train.images
    if len(images) < max(2, neighbours):
        raise UserError(
            f"{dataset.name} has {len(images)} training images; expected at least "
            f"{max(2, neighbours)} for --neighbours {neighbours}"
        )
    compared = np.unique(np.linspace(0, len(images) - 1, _COMPARED).astype(int))
    queries = np.concatenate([samples, images[compared].astype(np.float32) / np.float32(255)])
    # One pass over the training images for both: reading them is most of the work.
    places, distances = latents.nearest(queries, images, max(2, neighbours))
    others = distances[count:, :2]
    itself = places[count:, :2] == compared[:, None]
    # If an image has a duplicate that is listed first, its nearest neighbour is that duplicate.
    among = float(np.median(np.where(itself[:, 0], others[:, 1], others[:, 0])))
    places, distances = places[:count, :neighbours], distances[:count, :neighbours]
    found = images[places.ravel()].reshape(count, neighbours, *images.shape[1:])
    rows = np.concatenate([samples[:, None], found.astype(np.float32) / 255], axis=1)
    table = figures.image_table(
        rows.reshape(-1, *images.shape[1:]),
        neighbours + 1,
        own_range=False,
        row_titles=[f"{row[0]:.3f}" for row in distances],
        title="sample, then its nearest training images",
    )
    path = figures.save_figure(table, out)
    typical = float(np.median(distances[:, 0]))
    if as_json:
        reported = {"numbers": places.tolist(), "distances": distances.tolist()}
        medians = {"median_distance": typical, "median_among_training_images": among}
        click.echo(json.dumps(reported | medians | {"picture": str(path)}))
        return
    for number, (near, row) in enumerate(zip(places, distances, strict=True)):
        pairs = ", ".join(f"{place} at {d:.4f}" for place, d in zip(near, row, strict=True))
        click.echo(f"sample {number}: training image {pairs}")
    click.echo(
        f"median distance to the nearest training image: {typical:.4f} from a sample, {among:.4f} "
        f"from another training image; much nearer would be memorised: {path}"
    )
