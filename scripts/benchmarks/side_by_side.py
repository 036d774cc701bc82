"""This package beside the frameworks that the originals are written in, all taking turns.

Needs JAX, Flax, Optax, NumPy and PyTorch; matplotlib for the figure; Paddle and TensorFlow where
their models are compared (pip install -e '.[test]' has all). In a checkout not even the package
need be installed:

    PYTHONPATH=. python scripts/benchmarks/side_by_side.py --rounds 5 --out report
    PYTHONPATH=. python scripts/benchmarks/side_by_side.py --quick --out report   # does it run?

is the published comparison (21 minutes on 2 cores), or whether it runs (under a minute). On a
machine with an NVIDIA GPU the same command measures on the GPU instead: each model's training step
at the tutorial's batch and along powers of two, in float32, TF32 and bfloat16, beside PyTorch
eager, torch.compile and CUDA graphs; and encoding and decoding. (There XLA multiplies bfloat16's
products as TF32's, and PyTorch's autocast computes in bfloat16.) Anything else is asked for:

    python scripts/benchmarks/side_by_side.py face_vae --work step --work encode --against tuned
    python scripts/benchmarks/side_by_side.py conv_vae --scaling batch --memory

For each contestant the table has the median of its turns with the quartiles, the ratio to vae_jax
(above 1: vae_jax is quicker), and what it achieves of the least time that this machine's measured
ceilings allow. `written` is the tutorial's loop in PyTorch, `tuned` the same with all images in
memory and the fused Adam, contiguous and channels last: the quicker of the two counts; `kept` is
that in a process that keeps its freed memory, as this package's does.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch shares the GPU

from contest import published
from contest.contestants import DEFAULT_GROUPS, GROUPS, check_groups
from contest.curves import AXES, tasks_along
from contest.session import Session

from vae_jax.benchmark.tasks import PRECISIONS, WORKS, Task, make_task
from vae_jax.benchmark.timing import TURN
from vae_jax.errors import UserError
from vae_jax.memory import keep_freed_memory
from vae_jax.models import MODELS

_USUAL_WORKS = [work for work in WORKS if work != "epoch"]  # which takes minutes


def main() -> None:
    """Print the tables as they are measured, and the goals at the end."""
    options = _parser().parse_args()
    keep_freed_memory()  # as the command line does
    started = time.perf_counter()
    groups = (*(options.against or DEFAULT_GROUPS), *["compiled"] * options.compile)
    groups = tuple(dict.fromkeys((*groups, *["plain"] * options.plain)))
    rounds = options.rounds or (2 if options.quick else None)
    session = Session(groups, rounds, 0.005 if options.quick else TURN)
    chosen = bool(options.models or options.work or options.scaling or options.memory)
    try:
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)  # before anything slow
        if chosen:
            _compare_chosen(session, options)
        else:
            published.compare(session, options.quick)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    finally:  # nothing that was measured is lost
        session.write(options.out)
    if not chosen:
        print(published.summary(session))
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="default: the published comparison")
    add("--work", action="append", choices=WORKS, help="default: all but epoch")
    add("--batch-size", action="append", type=_count, help="default: the tutorial's, or 256")
    add("--against", action="append", choices=GROUPS, help="default: those that are installed of "
        + ", ".join(DEFAULT_GROUPS))  # fmt: skip
    add("--compile", action="store_true", help="on a CPU, torch.compile too")
    add("--plain", action="store_true", help="and this package with plain layers")
    add("--rounds", type=_count, help="turns of each contestant; default: 15, of epochs 5")
    add("--precision", action="append", choices=PRECISIONS, help="of products, on a GPU")
    add("--images", type=_count, help="of an epoch; default: 60,000 of 28x28, or as many pixels")
    add("--memory", action="store_true", help="peak memory of a training step, a process each")
    add("--scaling", action="append", choices=AXES, help="cost along an axis, default: of conv_vae")
    add("--hyper", action="append", type=_hyper, default=[], metavar="NAME=VALUE")
    add("--out", type=Path, help="folder for the table, JSON and figure")
    add("--quick", action="store_true", help="does it run? small and few")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _hyper(text: str) -> tuple[str, int | str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, int(value) if value.isdecimal() else value


def _compare_chosen(session: Session, options: argparse.Namespace) -> None:
    """Measure the models, works, curves and memory that were named."""
    hyper: dict[str, Any] = dict(options.hyper)
    if hyper and len(options.models) != 1:
        raise UserError("--hyper is of one model: name it")
    works = options.work or ([] if options.memory or options.scaling else _USUAL_WORKS)
    models, sizes = options.models or list(MODELS), options.batch_size or [None]
    precisions = options.precision or ["float32"]

    def tasks_of(works: list[str]) -> list[Task]:
        return [
            make_task(m, w, batch_size=b, num_images=options.images, precision=p, **hyper)
            for m, p, w, b in itertools.product(models, precisions, works, sizes)
        ]

    given = {"batch_size": sizes[0]} if sizes[0] else {}
    curves = {
        axis: [
            task
            for model, precision in itertools.product(options.models or ["conv_vae"], precisions)
            for task in tasks_along(axis, model, precision=precision, **given, **hyper)
        ]
        for axis in options.scaling or ()
    }
    tasks, remembered = tasks_of(works), tasks_of(["step"]) if options.memory else []
    every = [*tasks, *remembered, *itertools.chain(*curves.values())]
    required = [*(options.against or ()), *["compiled"] * options.compile]
    check_groups(every, required)
    session.leave_out_missing(every, required)
    for task in tasks:
        session.rows += session.time(task)
    for axis, along in curves.items():
        rows = session.curves.setdefault(axis, [])
        for task in along:
            rows += session.time(task)
    for task in remembered:
        session.remember(task, session.groups)


if __name__ == "__main__":
    main()
