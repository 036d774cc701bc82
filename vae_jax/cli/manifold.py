"""``vae-jax manifold``: decode a grid of latents into one picture, as tutorial 004 does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import (
    data_option,
    dimensions_option,
    group_options,
    label_option,
    picture_option,
    trained_options,
)

if TYPE_CHECKING:
    from vae_jax.pretrained import Pretrained


@click.command()
@trained_options
@data_option
@click.option("--count", default=1000, type=click.IntRange(1), help="Training images to encode.")
@click.option(
    "--around",
    default=0.0,
    type=float,
    help="Extend the grid this far beyond the means, or the groups, on every side.",
)
@dimensions_option
@click.option(
    "--plane",
    nargs=3,
    metavar="GROUP GROUP GROUP",
    help="Use the plane through three groups instead of two dimensions: the first is at the bottom "
    "left, the second at the bottom right, the third at the top left.",
)
@group_options
@click.option("--rows", default=20, type=click.IntRange(1), help="Pictures from top to bottom.")
@click.option("--columns", default=20, type=click.IntRange(1), help="Pictures from left to right.")
@label_option
@picture_option("manifold.png", "The picture to write; one per label.")
def manifold(
    loaded: Pretrained,
    data: str | None,
    count: int,
    around: float,
    dimensions: tuple[int, int] | None,
    plane: tuple[str, str, str] | None,
    definitions: tuple[str, ...],
    per_group: int,
    seed: int,
    use_mean: bool,
    rows: int,
    columns: int,
    label: tuple[int, ...],
    out: str,
) -> None:
    """Decode a grid over the range of TRAINED's posterior means into one picture.

    The second dimension grows from bottom to top; all other dimensions are 0. With --plane, the
    grid lies on the plane through three groups' encodings, at coordinates (0, 0), (1, 0) and
    (0, 1). A GROUP is a name that --group defines, or images as --group takes them. A model with
    labels draws one picture per --label.
    """
    import numpy as np

    from vae_jax import figures, latents
    from vae_jax.cli.drawing import decode_unit
    from vae_jax.cli.encodings import encode_training_images, require_dimensions
    from vae_jax.cli.groups import open_groups
    from vae_jax.errors import UserError

    if plane and dimensions:
        raise UserError("--plane and --dimensions exclude each other; leave out one")
    chosen = [] if plane else require_dimensions(loaded, dimensions)
    if bool(label) != bool(loaded.spec.num_classes):
        wanted = "needs --label (once or more)" if not label else "takes no label"
        raise UserError(f"{loaded.name} {wanted}")
    if not math.isfinite(around):
        raise UserError(f"--around is {around}; expected a finite number")
    for number in label:
        loaded.one_hot(number, 1)  # fails on a wrong label before the first picture is written
    if plane:
        one = label[0] if label else None
        groups = open_groups(loaded, definitions, data, per_group, None if use_mean else seed, one)
        origin, right, top = (groups.encoding(group) for group in plane)
        low, high = np.array([-around] * 2), np.array([1 + around] * 2)
        right, up = right - origin, top - origin
        names = [f"{plane[0]} to {end}" for end in plane[1:]]
    else:
        encoded = encode_training_images(loaded, data, count).encoded
        means = encoded.mean[:, chosen]
        low, high = means.min(0) - around, means.max(0) + around
        axes = np.eye(loaded.latent_size, dtype=np.float32)
        origin, right, up = np.zeros_like(axes[0]), *axes[chosen]
        names = [f"dimension {number}" for number in chosen]
    bounds = (low[0], high[0]), (low[1], high[1])
    z = latents.plane(origin, right, up, *bounds, columns, rows).astype(np.float32)
    ranges = ", ".join(
        f"{name} from {start:.3g} to {end:.3g}"
        for name, (start, end) in zip(names, bounds, strict=True)
    )
    target = Path(out)
    for number in label or (None,):
        pictures = decode_unit(loaded, z, number)
        title = ranges if number is None else f"label {number}, {ranges}"
        table = figures.image_table(pictures, columns, title=title)
        path = target if len(label) < 2 else target.with_stem(f"{target.stem}_{number}")
        click.echo(f"{ranges}: {figures.save_figure(table, path)}")
