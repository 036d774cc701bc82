"""``vae-jax arithmetic`` and ``vae-jax direction``: add and subtract encodings, and decode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import (
    data_option,
    group_options,
    json_option,
    one_label_option,
    picture_option,
    trained_options,
)

if TYPE_CHECKING:
    from vae_jax.pretrained import Pretrained


@click.command()
@trained_options
@click.argument("expressions", nargs=-1, required=True, metavar="EXPRESSION...")
@group_options
@data_option
@click.option("--any-weights", is_flag=True, help="Allow weights that do not sum to 1.")
@click.option(
    "--title", multiple=True, show_default="the expression", help="Title of a row; one per row."
)
@one_label_option
@picture_option("arithmetic.png")
@json_option
def arithmetic(
    loaded: Pretrained,
    expressions: tuple[str, ...],
    definitions: tuple[str, ...],
    per_group: int,
    seed: int,
    use_mean: bool,
    data: str | None,
    any_weights: bool,
    title: tuple[str, ...],
    label: int | None,
    out: str,
    as_json: bool,
) -> None:
    """Decode arithmetic of groups' mean encodings by TRAINED, such as "a - b + c".

    Draws one row per EXPRESSION: the decoded groups in its order, then the result. Groups can be
    added, subtracted, and multiplied or divided by numbers; the weights must sum to 1. One image
    per group is enough; three or more average out what they do not share. Example:

    \b
    vae-jax arithmetic RUN --group men_g=0,3,14 --group women_g=9,15,21 \\
        --group women_ng=-5,-10,-20 "men_g - women_g + women_ng"
    """
    import numpy as np

    from vae_jax import figures
    from vae_jax.cli.drawing import decode_unit
    from vae_jax.cli.groups import open_groups
    from vae_jax.errors import UserError
    from vae_jax.latents import combine, parse_expression, require_affine

    if title and len(title) != len(expressions):
        raise UserError(
            f"{len(title)} titles for {len(expressions)} expressions; expected one title each"
        )
    groups = open_groups(loaded, definitions, data, per_group, None if use_mean else seed, label)
    parsed = [parse_expression(text, groups.names) for text in expressions]
    for text, weights in () if any_weights else zip(expressions, parsed, strict=True):
        try:
            require_affine(weights)
        except UserError as error:
            raise UserError(f'"{text}": {error}; --any-weights allows it') from error
    rows: list[np.ndarray] = []
    for weights in parsed:
        encodings = {name: groups.encoding(name) for name in weights}
        rows.append(
            decode_unit(loaded, np.stack([*encodings.values(), combine(weights, encodings)]), label)
        )
    captions = [[*weights, "result"] for weights in parsed]
    path = figures.save_figure(figures.arithmetic_rows(rows, title or expressions, captions), out)
    if as_json:
        reported = [
            {"expression": text, "weights": weights}
            for text, weights in zip(expressions, parsed, strict=True)
        ]
        found = {"rows": reported, "groups": groups.summary(), "picture": str(path)}
        click.echo(json.dumps(found))
    else:
        click.echo(f"{'; '.join(expressions)} ({groups}): {path}")


@click.command()
@trained_options
@click.option("--with", "having", required=True, metavar="GROUP", help="Images with the attribute.")
@click.option("--without", required=True, metavar="GROUP", help="Images without it.")
@click.option("--on", required=True, metavar="GROUP", help="Images to change.")
@click.option(
    "--strength",
    multiple=True,
    type=float,
    default=(-1.0, 0.0, 1.0),
    help="How much of the direction to add; one picture per strength.",
)
@group_options
@data_option
@one_label_option
@picture_option("direction.png")
@json_option
def direction(
    loaded: Pretrained,
    having: str,
    without: str,
    on: str,
    strength: tuple[float, ...],
    definitions: tuple[str, ...],
    per_group: int,
    seed: int,
    use_mean: bool,
    data: str | None,
    label: int | None,
    out: str,
    as_json: bool,
) -> None:
    """Add an attribute to images by TRAINED or remove it, in a row of strengths.

    Decodes the encoding of --on plus each --strength times the direction: the mean encoding of
    --with minus that of --without. A GROUP is a name that --group defines, or images as --group
    takes them, such as attr:glasses=yes. Example:

    \b
    vae-jax direction RUN --with attr:glasses=yes --without attr:glasses=no --on 17
    """
    import math

    import numpy as np

    from vae_jax import figures, latents
    from vae_jax.cli.drawing import decode_unit
    from vae_jax.cli.groups import open_groups
    from vae_jax.errors import UserError

    if not all(map(math.isfinite, strength)):
        raise UserError(f"--strength is {strength}; expected finite numbers")
    groups = open_groups(loaded, definitions, data, per_group, None if use_mean else seed, label)
    way = latents.direction(groups.points(having), groups.points(without))
    start = groups.encoding(on)
    pictures = decode_unit(loaded, np.stack([start + step * way for step in strength]), label)
    title = f"{on} + strength x ({having} - {without})"
    strengths = [f"{step:g}" for step in strength]
    path = figures.save_figure(figures.arithmetic_rows([pictures], [title], [strengths]), out)
    if as_json:
        found = {"strengths": strength, "length": float(np.linalg.norm(way))}
        click.echo(json.dumps(found | {"groups": groups.summary(), "picture": str(path)}))
    else:
        click.echo(f"{title}, strengths {', '.join(strengths)} ({groups}): {path}")
