"""``vae-jax benchmark``: how fast the package is here, beside the originals' frameworks."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vae_jax.benchmark.contestants import DEFAULT_GROUPS, GROUPS
from vae_jax.benchmark.tasks import PRECISIONS, WORKS
from vae_jax.cli.options import hyper_option, json_option, setup_jax

if TYPE_CHECKING:
    from vae_jax.benchmark.tasks import Task

_USUAL_WORKS = tuple(work for work in WORKS if work != "epoch")  # which takes minutes
_AXES = ("batch", "latent", "image", "images")  # as vae_jax.benchmark.scaling has them
_ROUNDS = {"epoch": 5}


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--work",
    "works",
    multiple=True,
    type=click.Choice(WORKS),
    show_default=", ".join(_USUAL_WORKS),
    help="What to time; may be given more than once.",
)
@click.option(
    "--batch",
    "--batch-size",
    "batches",
    multiple=True,
    type=click.IntRange(1),
    show_default="the tutorial's for training, 256 for the rest",
    help="Images at a time; may be given more than once.",
)
@click.option(
    "--against",
    multiple=True,
    type=click.Choice(GROUPS),
    show_default="those of " + ", ".join(DEFAULT_GROUPS) + " that are installed",
    help="Whom to hold it against; may be given more than once.",
)
@click.option("--compile", "compiled", is_flag=True, help="And against torch.compile.")
@click.option(
    "--rounds",
    type=click.IntRange(1),
    show_default="15, of epochs 5",
    help="Turns of each contestant.",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(PRECISIONS),
    default=("float32",),
    help="Of products, on a GPU; may be given more than once.",
)
@click.option(
    "--images",
    "num_images",
    type=click.IntRange(1),
    show_default="60,000 of 28x28, as many pixels of another size",
    help="Images of an epoch.",
)
@click.option("--memory", is_flag=True, help="Peak memory of a training step, a process each.")
@click.option(
    "--scaling",
    multiple=True,
    type=click.Choice(_AXES),
    help="Cost along an axis, of conv_vae unless models are named; may be given more than once.",
)
@hyper_option
@click.option("--out", help="Folder for benchmark.json, benchmark.md and benchmark.png.")
@json_option
def benchmark(
    models: tuple[str, ...],
    works: tuple[str, ...],
    batches: tuple[int, ...],
    against: tuple[str, ...],
    compiled: bool,
    rounds: int | None,
    precisions: tuple[str, ...],
    num_images: int | None,
    memory: bool,
    scaling: tuple[str, ...],
    hyper: dict[str, Any],
    out: str | None,
    as_json: bool,
) -> None:
    """Time MODELs (default: all) beside the frameworks that their originals are written in.

    The contestants take turns, each framework in a process of its own. For each the table has the
    median of its turns with the quartiles, the ratio to vae_jax (above 1: vae_jax is quicker), and
    what it achieves of the least time that this machine's measured ceilings allow. `written` is the
    tutorial's loop in PyTorch, `tuned` the same with all images in memory and the fused Adam,
    contiguous and channels last: the quicker of the two counts; `kept` is that in a process that
    keeps its freed memory, as this package's does. With --memory or --scaling, give --work to time
    that too.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU is shared by them all
    setup_jax()
    from vae_jax.benchmark.contest import ceilings_in, measure
    from vae_jax.benchmark.contestants import check_groups, load_sides, names_of
    from vae_jax.benchmark.memory import peak_memory
    from vae_jax.benchmark.report import Report
    from vae_jax.benchmark.scaling import tasks_along
    from vae_jax.benchmark.tables import ceilings_line, header, lines_of, memory_line, write_report
    from vae_jax.benchmark.tasks import make_task
    from vae_jax.errors import UserError
    from vae_jax.models import MODELS

    if hyper and len(models) != 1:
        raise UserError("--hyper is of one model: name it")
    if out:
        _make_folder(out)  # before anything slow
    if not works:
        works = () if memory or scaling else _USUAL_WORKS

    def tasks_of(works: tuple[str, ...]) -> list[Task]:
        sizes = batches or (None,)
        kinds = itertools.product(models or MODELS, precisions, works, sizes)
        return [
            make_task(m, w, batch_size=b, num_images=num_images, precision=p, **hyper)
            for m, p, w, b in kinds
        ]

    given = {"batch_size": batches[0]} if batches else {}
    curves = {
        axis: [
            task
            for model, precision in itertools.product(models or ("conv_vae",), precisions)
            for task in tasks_along(axis, model, precision=precision, **given, **hyper)
        ]
        for axis in scaling
    }
    tasks, remembered = tasks_of(works), tasks_of(("step",)) if memory else []
    groups = tuple(dict.fromkeys((*(against or DEFAULT_GROUPS), *["compiled"] * compiled)))
    every = [*tasks, *remembered, *itertools.chain(*curves.values())]
    if against:
        check_groups(every, groups)
    missing = load_sides(every, groups)
    for group in (*against, *["compiled"] * compiled):
        if group in missing:
            raise missing[group]
    for error in dict.fromkeys(str(missing[group]) for group in groups if group in missing):
        click.echo(f"left out: {error}", err=True)
    groups = tuple(group for group in groups if group not in missing)

    def say(text: str) -> None:
        if not as_json:
            click.echo(text)

    ceilings = {precision: ceilings_in(precision) for precision in precisions}
    for precision, found in ceilings.items():
        say(f"{precision}: {ceilings_line(found)}")
    rows, peaks, along = [], [], {}
    if tasks or curves:
        say(header())

    def timed(task: Task) -> list[Any]:
        found = measure(
            task,
            groups,
            rounds=rounds or _ROUNDS.get(task.work, 15),
            ceilings=ceilings[task.precision],
        )
        say(lines_of(found))
        return found

    try:
        for task in tasks:
            rows += timed(task)
        for axis, its in curves.items():
            along[axis] = []
            for task in its:
                along[axis] += timed(task)
        for task in remembered:
            for name in names_of(task, groups):
                peaks.append(peak_memory(task, name))
                say(memory_line(peaks[-1]))
    finally:
        report = Report(rows, ceilings, peaks, along)
        if out and (rows or along or peaks):  # nothing that was measured is lost
            click.echo(f"in {out}: {', '.join(write_report(Path(out), report))}", err=True)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=1))


def _make_folder(path: str) -> None:
    from vae_jax.errors import UserError

    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made a folder: {error.strerror}") from error
