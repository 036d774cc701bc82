"""The published comparison: every goal's ratio, the scaling curves and the memory, in one run.

Needs JAX, Flax, Optax, NumPy, PyTorch and matplotlib; Paddle and TensorFlow where their models are
compared (pip install -e '.[test]' has all), and in a checkout not even the package installed:

    PYTHONPATH=. python scripts/benchmark.py --rounds 5 --out report # 21 minutes on 2 cores
    PYTHONPATH=. python scripts/benchmark.py --quick --out report    # does it run? under a minute

On a machine with an NVIDIA GPU the same command measures on the GPU instead: each model's training
step at the tutorial's batch and along powers of two, in float32, TF32 and bfloat16, beside PyTorch
eager, torch.compile and CUDA graphs; and encoding and decoding. (There XLA multiplies bfloat16's
products as TF32's, and PyTorch's autocast computes in bfloat16.)
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch shares the GPU

import jax

from vae_jax.benchmark.contest import ceilings_in, measure
from vae_jax.benchmark.contestants import DEFAULT_GROUPS, OURS, load_sides, names_of
from vae_jax.benchmark.memory import peak_memory
from vae_jax.benchmark.report import Report, Row, best_ratio
from vae_jax.benchmark.scaling import place, straightness, tasks_along
from vae_jax.benchmark.tables import ceilings_line, header, lines_of, memory_line, write_report
from vae_jax.benchmark.tasks import PRECISIONS, Task, make_task
from vae_jax.benchmark.timing import TURN
from vae_jax.memory import keep_freed_memory
from vae_jax.models import MODELS


@dataclasses.dataclass(frozen=True)
class Goal:
    """A ratio that is wanted of a group's quickest contestant."""

    model: str
    work: str
    batch_size: int
    group: str
    wanted: float


GOALS = (
    Goal("digits_ae", "epoch", 32, "written", 9.0),
    Goal("digits_ae", "epoch", 32, "tuned", 3.5),
    Goal("face_vae", "step", 16, "tuned", 1.6),
    *(Goal(model, "step", 64, "tuned", 1.5) for model in ("digits_vae", "digits_cvae")),
    *(Goal(model, "step", 64, "paddle", 6.0) for model in ("digits_vae", "digits_cvae")),
    Goal("stddev_vae", "step", 100, "tensorflow", 1.2),
    Goal("conv_vae", "step", 64, "tuned", 1.0),
    *(Goal(model, work, 256, "tuned", 1.0) for work in ("decode", "encode") for model in MODELS),
)
CURVES = (("batch", "conv_vae"), ("latent", "conv_vae"), ("image", "conv_vae"))
CURVES += (("images", "digits_ae"),)
QUICK = {"batch": (1, 2), "latent": (2, 8), "image": (8, 16), "images": (64, 128)}
GPU_GROUPS = ("tuned", "compiled", "graphs")
LARGEST = {"face_vae": 256}  # batch on a GPU; elsewhere 8192


class Benchmark:
    """What was found so far; every measurement adds to it and prints its lines."""

    def __init__(self, args: argparse.Namespace):
        self.quick, self.rounds = args.quick, args.rounds or (2 if args.quick else 15)
        self.groups = [*DEFAULT_GROUPS, *["compiled"] * args.compile, *["plain"] * args.plain]
        self.ceilings: dict[str, Any] = {}
        self.rows: list[Row] = []
        self.curves: dict[str, list[Row]] = {}
        self.memory: list[dict[str, Any]] = []

    def time(self, task: Task, groups: Sequence[str], rounds: int | None = None) -> list[Row]:
        """The rows of a task."""
        if task.precision not in self.ceilings:
            self.ceilings[task.precision] = ceilings_in(task.precision)
            print(f"{task.precision}: {ceilings_line(self.ceilings[task.precision])}\n{header()}")
        found = measure(
            task,
            groups,
            rounds=rounds or (min(self.rounds, 5) if task.work == "epoch" else self.rounds),
            turn=0.005 if self.quick else TURN,
            ceilings=self.ceilings[task.precision],
        )
        print(lines_of(found), flush=True)
        return found

    def on_cpu(self) -> None:
        """The goals' tasks, training steps of all models among them, the curves and the memory."""
        sizes = {(goal.model, goal.work, goal.batch_size): None for goal in GOALS}
        sizes |= {(name, "sample", 256): None for name in MODELS}
        sizes |= {(name, "step", spec.recipe.batch_size): None for name, spec in MODELS.items()}
        if self.quick:  # the first of each kind of work, and small
            chosen = (("digits_ae", work, 8) for work in ("step", "epoch", "encode", "decode"))
            sizes = dict.fromkeys((*chosen, ("conv_vae", "step", 2)))
        images = 64 if self.quick else 60_000
        tasks = [make_task(m, w, batch_size=b, num_images=images) for m, w, b in sizes]
        self._leave_out_missing(tasks)
        for task in tasks:
            self.rows += self.time(task, self.groups)
        for axis, model in CURVES:
            groups = [g for g in self.groups if g in ("tuned", "kept", "plain")]
            given = {"batch_size": 4} if self.quick else {}
            self.curves[axis] = []
            for task in tasks_along(axis, model, QUICK[axis] if self.quick else (), **given):
                self.curves[axis] += self.time(task, groups, 2 if self.quick else 7)
        for name in ["digits_ae"] if self.quick else MODELS:
            sizes = (MODELS[name].recipe.batch_size, 64 if name == "face_vae" else 256)
            for batch_size in sizes[:1] if self.quick else sizes:
                task = make_task(name, batch_size=batch_size)
                for who in names_of(task, [] if self.quick else DEFAULT_GROUPS):
                    self.memory.append(peak_memory(task, who))
                    print(memory_line(self.memory[-1]), flush=True)

    def on_gpu(self) -> None:
        """Each model at the tutorial's batch and at larger ones, and encoding and decoding."""
        load_sides([make_task("digits_ae")], GPU_GROUPS)
        precisions = PRECISIONS[:1] if self.quick else PRECISIONS
        for precision in precisions:
            for name in ["digits_ae", "conv_vae"] if self.quick else MODELS:
                usual = make_task(name, precision=precision)
                self.rows += self.time(usual, (*GPU_GROUPS, "written"))
                for work in ("encode", "decode"):
                    task = make_task(name, work, precision=precision)
                    self.rows += self.time(task, GPU_GROUPS)
                best = self._best_batch(usual)
                task = dataclasses.replace(usual, batch_size=best)
                self.rows += self.time(task, GPU_GROUPS)
        for name in [] if self.quick else MODELS:
            task = make_task(name)
            self.memory += [peak_memory(task, who) for who in names_of(task, ("tuned",))]
        print("\n".join(map(memory_line, self.memory)))

    def _best_batch(self, usual: Task) -> int:
        """The power of two from the tutorial's batch on with the most images a second, of ours; the
        curve has PyTorch's beside it. It ends where doubling gains neither of them anything."""
        speeds: dict[str, dict[int, float]] = {}
        largest = 64 if self.quick else LARGEST.get(usual.model, 8192)
        size = 1 << (usual.batch_size - 1).bit_length()
        while size <= largest:
            task = dataclasses.replace(usual, batch_size=size)
            try:
                rows = self.time(task, ("tuned", "graphs"), 3)
            except RuntimeError as error:  # no more memory, in either framework
                print(f"{usual.model}, batch {size}: {str(error).splitlines()[0][:100]}")
                break
            self.curves.setdefault("batch", []).extend(rows)
            gains = False
            for row in rows:
                before = max(speeds.setdefault(row.contestant, {}).values(), default=0.0)
                gains |= row.images_per_second > 1.05 * before
                speeds[row.contestant][size] = row.images_per_second
            if not gains:
                break
            size *= 2
        ours = speeds.get(OURS, {})
        return max(ours, key=lambda size: ours[size], default=usual.batch_size)

    def _leave_out_missing(self, tasks: Sequence[Task]) -> None:
        missing = load_sides(tasks, self.groups)
        for error in dict.fromkeys(str(missing[g]) for g in self.groups if g in missing):
            print(f"left out: {error}")
        self.groups = [group for group in self.groups if group not in missing]

    def summary(self) -> str:
        """A CPU's goals, with the ratio to PyTorch of kept memory beside them, and its curves."""
        if jax.default_backend() != "cpu":
            return ""
        lines = ["", f"{'goal':<46}{'wanted':>8}{'found':>8}{'kept':>8}{'of floor':>10}"]
        for goal in GOALS:
            wanted = (goal.model, goal.work, goal.batch_size)
            rows = [
                row
                for row in self.rows
                if (row.task.model, row.task.work, row.task.batch_size) == wanted
            ]
            found = best_ratio(rows, goal.group)
            if found is None:
                continue
            what = f"{goal.model} {goal.work} {goal.batch_size}, {goal.group}"
            share, met = f"{100 * rows[0].floor_share:.0f} %", found >= goal.wanted
            ending = "" if met else "  not met"
            kept = best_ratio(rows, "kept") if goal.group == "tuned" else None
            beside = "" if kept is None else f"{kept:.2f}"
            figures = f"{goal.wanted:>8.1f}{found:>8.2f}{beside:>8}{share:>10}"
            lines.append(f"{what:<46}{figures}{ending}")
        for axis in ("batch", "images"):
            models = dict.fromkeys(row.task.model for row in self.curves.get(axis, ()))
            for model in models:
                mine = [r for r in self.curves[axis] if r.group == "ours" and r.task.model == model]
                if len(mine) > 2:
                    sizes = [place(axis, row) for row in mine]
                    a, b, off = straightness(sizes, [row.times.median for row in mine])
                    text = f"{a * 1e3:.3f} ms + {b * 1e6:.2f} us an image, within {100 * off:.0f} %"
                    lines.append(f"{model} along {axis}: {text}")
        return "\n".join(lines)


def main() -> None:
    """Prints the tables as they are measured, and the goals at the end."""
    parser = argparse.ArgumentParser(description="Times every model beside other frameworks.")
    parser.add_argument("--out", type=Path, help="folder for the table, JSON and figure")
    parser.add_argument("--quick", action="store_true", help="does it run? small and few")
    parser.add_argument("--rounds", type=int, help="turns of each contestant; default 15")
    parser.add_argument("--compile", action="store_true", help="on a CPU, torch.compile too")
    parser.add_argument("--plain", action="store_true", help="and this package with plain layers")
    args = parser.parse_args()
    keep_freed_memory()  # as the command line does
    started, benchmark = time.perf_counter(), Benchmark(args)
    try:
        if jax.default_backend() == "gpu":
            benchmark.on_gpu()
        else:
            benchmark.on_cpu()
    finally:  # nothing that was measured is lost
        if args.out and benchmark.rows:
            found = (benchmark.rows, benchmark.ceilings, benchmark.memory, benchmark.curves)
            print(f"in {args.out}: {', '.join(write_report(args.out, Report(*found)))}")
    print(benchmark.summary())
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
