"""``vae-jax faces``: write synthetic faces as a folder of pictures, in the tutorial's layout."""

from __future__ import annotations

import time
from pathlib import Path

import click

from vae_jax.data.faces import MAX_FACES, NUM_FACES


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--count", default=NUM_FACES, type=click.IntRange(2, MAX_FACES), help="Number of faces."
)
@click.option("--seed", default=0, type=click.IntRange(0, 2**32 - 1), help="Seed of the faces.")
def faces(folder: Path, count: int, seed: int) -> None:
    """Write synthetic faces to FOLDER: glasses/, no_glasses/ and attributes.csv.

    Use them as `--data folder:FOLDER`. Seed 0 writes the faces of `--data faces`.
    """
    from vae_jax.data.faces import write_faces

    started = time.perf_counter()
    write_faces(folder, count, seed)
    seconds = time.perf_counter() - started
    click.echo(f"{count} faces in {seconds:.1f} s ({count / seconds:.0f} per second): {folder}")
