"""``vae-jax evaluate``: measure a trained model on a test set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from vae_jax.cli.options import checkpoint_options, data_option, json_option, setup_jax

if TYPE_CHECKING:
    from vae_jax.evaluation import Evaluation, Figure


@click.command()
@click.argument("trained", nargs=-1, required=True)
@data_option
@click.option(
    "--count", type=click.IntRange(1), show_default="all", help="Images to take from the data."
)
@click.option(
    "--samples",
    multiple=True,
    type=click.IntRange(1),
    metavar="K",
    help="Bound the log-likelihood with K draws per image; repeatable.",
)
@click.option(
    "--chunk",
    default=5,
    type=click.IntRange(1),
    help="Draws per image to decode at once; more need more memory.",
)
@click.option(
    "--binarize",
    default="none",
    type=click.Choice(["none", "threshold", "sample"]),
    help="Make pixels black or white: threshold at one half, or sample with the pixel as the "
    "probability. For grey pixels a Bernoulli decoder gives a cross entropy, not a likelihood.",
)
@click.option("--batch-size", default=100, type=click.IntRange(1), help="Images per batch.")
@click.option("--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of all draws.")
@checkpoint_options
@json_option
def evaluate(
    trained: tuple[str, ...],
    data: str | None,
    count: int | None,
    samples: tuple[int, ...],
    chunk: int,
    binarize: Literal["none", "threshold", "sample"],
    batch_size: int,
    seed: int,
    model: str | None,
    key: str | None,
    hyper: dict[str, object],
    as_json: bool,
) -> None:
    """Measure TRAINED on the test images of a data source.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint: one file, or an
    encoder's and a decoder's. Several folders are measured one after the other. If the source has
    no test images, its training images are used. The images are not corrupted, even for a model
    that was trained to denoise.
    """
    setup_jax()
    from vae_jax import evaluation
    from vae_jax.cli.encodings import training_source
    from vae_jax.pretrained import load

    folders = any(Path(path).is_dir() for path in trained)
    each = [(path,) for path in trained] if folders else [trained]
    # All are loaded first, so that a wrong name is found before the slow work.
    models = [load(paths, model, key=key, **hyper) for paths in each]
    reported = []
    for loaded, paths in zip(models, each, strict=True):
        source = data or loaded.recipe.data
        dataset = training_source(loaded, data)
        part, split = ("train", dataset.train) if dataset.test is None else ("test", dataset.test)
        found = evaluation.evaluate(
            loaded,
            split.images[:count],
            split.labels[:count],
            batch_size=batch_size,
            num_samples=samples,
            chunk=chunk,
            seed=seed,
            binarize=binarize,
        )
        reported.append(found.as_dict() | {"data": source, "split": part, "seed": seed})
        if as_json:
            continue
        name = f"{paths[0]}: {found.model}" if len(each) > 1 else found.model
        click.echo(f"{name} on {found.num_images} {part} images of {source}, seed {seed}")
        if binarize != "none":
            click.echo(f"pixels made black or white: {binarize}")
        click.echo("\n".join(table(found)))
    if as_json:
        named = [{"trained": p[0]} | r for p, r in zip(each, reported, strict=True)]
        click.echo(json.dumps(named if len(each) > 1 else reported[0]))


def table(found: Evaluation) -> list[str]:
    """Return the lines of the printed table.

    Each has a mean over the images, its standard error and, for a bound, the error of its draws.
    """
    rows = [("", "per image", "+- images", "+- draws")]
    for name, figure in found.terms.items():
        unit = found.unit if name == "reconstruction" else "nats"
        rows.append((f"{name.replace('_', ' ')} ({unit})", *_cells(figure)))
    if found.elbo is not None:
        rows.append(("ELBO (nats)", *_cells(found.elbo)))
    for count, bound in found.bounds.items():
        rows.append(
            (f"bound of {count} {'draw' if count == 1 else 'draws'} (nats)", *_cells(bound))
        )
    rows.append(("PSNR of the mean's decoding (dB)", *_cells(found.psnr)))
    lines = [f"{name:<34}{mean:>12}{images:>12}{draws:>12}" for name, mean, images, draws in rows]
    if found.active_units is not None:
        active = f"{len(found.active_units)} of {found.latent_size}"
        listed = ", ".join(map(str, found.active_units)) or "none"
        lines.append(f"{'active units':<34}{active:>12}  latents {listed}")
    joined = ", ".join(f"{k.replace('_', ' ')} {v:.6g}" for k, v in found.recipe_terms.items())
    return [*lines, f"as reduced by its recipe ({found.recipe_rule}): {joined}"]


def _cells(figure: Figure) -> tuple[str, str, str]:
    images, draws = figure.standard_error, figure.monte_carlo_error
    return (
        f"{figure.mean:.4f}",
        "" if images is None else f"{images:.4f}",
        "" if draws is None else f"{draws:.4f}",
    )
