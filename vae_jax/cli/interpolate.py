"""``vae-jax interpolate``: interpolate between the encodings of two groups, and decode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import click

from vae_jax.cli.options import (
    PicturePath,
    data_option,
    group_options,
    json_option,
    one_label_option,
    trained_options,
)

if TYPE_CHECKING:
    from vae_jax.pretrained import Pretrained


@click.command()
@trained_options
@click.option("--from", "start", required=True, metavar="GROUP", help="Images to start from.")
@click.option("--to", "end", required=True, metavar="GROUP", help="Images to end at.")
@click.option("--steps", default=6, type=click.IntRange(2), help="Pictures, both ends included.")
@click.option(
    "--kind",
    default="linear",
    type=click.Choice(["linear", "spherical"]),
    help="Along the straight line, or the great circle.",
)
@group_options
@data_option
@one_label_option
@click.option(
    "--out",
    default="interpolation.png",
    type=PicturePath(".gif"),
    help="The picture to write, or an animated .gif.",
)
@json_option
def interpolate(
    loaded: Pretrained,
    start: str,
    end: str,
    steps: int,
    kind: Literal["linear", "spherical"],
    definitions: tuple[str, ...],
    per_group: int,
    seed: int,
    use_mean: bool,
    data: str | None,
    label: int | None,
    out: str,
    as_json: bool,
) -> None:
    """Interpolate by TRAINED from one group's mean encoding to another's, and decode.

    A GROUP is a name that --group defines, or images as --group takes them: numbers, files,
    attributes. A .gif goes there and back. Example:

    \b
    vae-jax interpolate RUN --from 9,15,21 --to=-5,-10,-20 --out women.gif
    """
    import numpy as np

    from vae_jax import figures, latents
    from vae_jax.cli.drawing import decode_unit
    from vae_jax.cli.groups import open_groups

    groups = open_groups(loaded, definitions, data, per_group, None if use_mean else seed, label)
    ends = groups.encoding(start), groups.encoding(end)
    pictures = decode_unit(loaded, latents.interpolate(*ends, steps, kind), label)
    if out.lower().endswith(".gif"):
        path = figures.save_animation(pictures, out)
    else:
        title, weights = f"{start} to {end}, {kind}", np.linspace(0, 1, steps)
        strip = figures.interpolation_strip(pictures, weights, title=title)
        path = figures.save_figure(strip, out)
    if as_json:
        found = {"from": start, "to": end, "steps": steps, "kind": kind}
        click.echo(json.dumps(found | {"groups": groups.summary(), "picture": str(path)}))
    else:
        click.echo(f"{start} to {end}, {steps} steps, {kind} ({groups}): {path}")
