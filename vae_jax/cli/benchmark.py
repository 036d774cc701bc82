"""``vae-jax benchmark``: time a model's training, encoding, decoding and sampling."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from vae_jax.cli.options import hyper_option, json_option, setup_jax

# Repeated from vae_jax.benchmark.tasks, whose import would load JAX.
_WORKS = ("step", "epoch", "encode", "decode", "sample")
_PRECISIONS = ("float32", "tf32", "bfloat16")
_USUAL = tuple(work for work in _WORKS if work != "epoch")  # an epoch takes minutes
_TITLES = ("work", "batch", "median ms", "quartiles ms", "images/s", "GFLOP/s", "GB/s")
_TITLES += ("of floor", "peak MiB", "steady MiB")
_WIDTHS = (-12, 6, 11, 24, 11, 9, 7, 9, 9, 11)  # negative: aligned to the left


@click.command()
@click.argument("model")
@click.option(
    "--work",
    "works",
    multiple=True,
    type=click.Choice(_WORKS),
    default=_USUAL,
    help="What to time; repeatable.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    show_default="the tutorial's for training, 256 for the rest",
    help="Images per batch.",
)
@click.option(
    "--images",
    "num_images",
    type=click.IntRange(1),
    show_default="60,000 of 28x28, or as many pixels of another size",
    help="Images per epoch.",
)
@click.option(
    "--rounds", type=click.IntRange(1), show_default="15; 5 for epochs", help="Timed repetitions."
)
@click.option(
    "--precision",
    type=click.Choice(_PRECISIONS),
    default="float32",
    help="Precision of matrix products on a GPU.",
)
@hyper_option
@json_option
def benchmark(
    model: str,
    works: tuple[str, ...],
    batch_size: int | None,
    num_images: int | None,
    rounds: int | None,
    precision: str,
    hyper: dict[str, Any],
    as_json: bool,
) -> None:
    """Time MODEL's training step, encoding, decoding and sampling on this machine.

    The table shows the median and quartiles of the rounds; the least time that this machine's
    measured peak FLOP/s and memory bandwidth allow, as a share of the median (`of floor`); and the
    peak memory with and without compilation. `scripts/benchmarks/side_by_side.py` compares other
    frameworks.
    """
    setup_jax()
    from vae_jax.benchmark.runs import ceilings_in
    from vae_jax.benchmark.tasks import make_task
    from vae_jax.benchmark.timing import measure
    from vae_jax.training.run import environment

    given = {"batch_size": batch_size, "num_images": num_images, "precision": precision}
    tasks = [make_task(model, work, **given, **hyper) for work in works]
    ceilings = ceilings_in(precision)
    rows: list[dict[str, Any]] = []
    if not as_json:
        click.echo(f"{model}, {precision}: {ceilings}\n{_line(_TITLES)}")
    for task in tasks:
        row, memory = measure(task, ceilings, rounds or (5 if task.work == "epoch" else 15))
        rows.append(row.as_dict() | memory._asdict())
        if not as_json:
            click.echo(_line(_cells(rows[-1])))
    if as_json:
        found = {"environment": environment(), "ceilings": ceilings.as_dict(), "rows": rows}
        click.echo(json.dumps(found, indent=1))


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = (f"{1e3 * seconds:,.3f}" for seconds in row["quartiles_seconds"])
    sizes = (row["peak_bytes"], row["steady_bytes"])
    return [
        f"epoch {row['images']:,}" if row["work"] == "epoch" else row["work"],
        str(row["batch_size"]),
        f"{1e3 * row['median_seconds']:,.3f}",
        f"{low} to {high}",
        f"{row['images_per_second']:,.0f}",
        f"{row['gflop_per_second']:,.1f}",
        f"{row['gigabytes_per_second']:,.1f}",
        f"{100 * row['floor_share']:.0f} %",
        *("" if size is None else f"{size / 2**20:,.0f}" for size in sizes),
    ]


def _line(cells: Iterable[str]) -> str:
    pairs = zip(cells, _WIDTHS, strict=True)
    return " ".join(c.ljust(-width) if width < 0 else c.rjust(width) for c, width in pairs).rstrip()
