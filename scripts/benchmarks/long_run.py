"""Whether a long run stays as large as it began: memory, open handles and threads by step.

`digits_ae` is trained through `vae_jax.training.loop.train`, 100 steps an epoch, with a checkpoint
every 25 steps, both with its images resident on the device and with batches that a thread fetches,
each way in a process of its own. Status 1 where memory or handles grow by more than the limit.

Quite flat it cannot be: `to_json` of TensorStore (0.1.76 to 0.1.86 at the least) never frees the
strings that it returns, four of 50 to 150 bytes, and Orbax calls it for every array of a
checkpoint. `--no-known-leak` puts a function in its place that frees them.

    python scripts/benchmarks/long_run.py --out runs/long_run
    python scripts/benchmarks/long_run.py --out runs/long_run --way resident --steps 50000
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from resources import KIB, MIB, Sample, Sampler, growth

from vae_jax.figures.drawing import new_figure, save_figure

# KiB per 1,000 steps, for 40 checkpoints. TensorStore's strings come to 8 to 11 KiB a checkpoint,
# 350 to 450 here, and the memory that the process keeps (`vae_jax/memory.py`) grows by 2 to 4 MiB
# now and then in the first 9,000 steps (not in the next 21,000): 550 to 970 in all. What would
# matter is far above: a batch kept for each step is 35,000, a state for each checkpoint 150,000.
LIMIT = 2048.0
HANDLES_LIMIT = 2.0  # per 1,000 steps; one kept for each epoch is 10, for each checkpoint 40
WAYS = ("resident", "streamed")
MODEL, BATCH, STEPS_AN_EPOCH = "digits_ae", 45, 100  # of the 4,500 digits that are trained on


def main() -> None:
    """Runs each way, prints the table, writes `samples.json` and `long_run.png`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the figure and samples")
    parser.add_argument("--way", action="append", choices=WAYS, help="default: both")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--checkpoint-every", type=int, default=25, help="steps")
    parser.add_argument("--limit", type=float, default=LIMIT, help="KiB per 1,000 steps")
    parser.add_argument(
        "--trim-memory", action="store_true", help="let freed memory go, as no command does"
    )
    parser.add_argument("--no-known-leak", action="store_true", help="see above")
    parser.add_argument("--part", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        train_part(options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Sample]] = {}
    for way in options.way or WAYS:
        command = [sys.executable, __file__, *sys.argv[1:], "--part", way]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"error: {way} ended with {done.returncode}: {done.stderr[-2000:]}")
        found[way] = [Sample(*row) for row in json.loads(done.stdout)]
    written = {"columns": Sample._fields, "rows": found}
    (options.out / "samples.json").write_text(json.dumps(written))
    save_figure(figure_of(found), options.out / "long_run.png")
    print_table(found, options.steps)
    if not is_flat(found, options):
        sys.exit(1)


def train_part(options: Any) -> None:
    """One way, in this process; the samples go to standard output as JSON."""
    from vae_jax.data import open_dataset
    from vae_jax.memory import keep_freed_memory
    from vae_jax.models import create_model, get_spec
    from vae_jax.training.epoch_runner import Options
    from vae_jax.training.loop import train
    from vae_jax.training.run import Run

    if options.no_known_leak:
        free_strings()
    if not options.trim_memory:
        keep_freed_memory()  # as the commands do
    chosen = Options(checkpoint_every=options.checkpoint_every, resident=options.part == "resident")
    spec, module = get_spec(MODEL), create_model(MODEL)
    epochs = -(-options.steps // STEPS_AN_EPOCH)
    recipe = spec.recipe.replace(epochs=epochs, batch_size=BATCH)
    dataset = open_dataset(recipe.data, module.image_shape)
    with tempfile.TemporaryDirectory() as folder, Sampler() as sampler:

        def tell(epoch: int, _: Any) -> None:
            sampler.step = epoch * STEPS_AN_EPOCH
            sampler.look()

        train(Run(Path(folder, "run"), MODEL, {}, recipe), dataset, on_epoch=tell, options=chosen)
    print(json.dumps(sampler.samples))


def free_strings() -> None:
    """Lets TensorStore describe a local file without its `to_json`."""
    import tensorstore

    spec_type: Any = tensorstore.KvStore.Spec
    theirs = spec_type.to_json

    def to_json(spec: Any) -> Any:
        is_file = spec.url.startswith("file://")
        return {"driver": "file", "path": spec.path} if is_file else theirs(spec)

    spec_type.to_json = to_json


def print_table(found: dict[str, list[Sample]], steps: int) -> None:
    """Memory and handles at ten steps: the median of the looks at the process around each."""
    names = [f"{way}: {what}" for way in found for what in ("RSS MiB", "handles", "threads")]
    print(f"| step | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for tenth in range(1, 11):
        step, cells = steps * tenth // 10, []
        for samples in found.values():
            near = [s for s in samples if abs(s.step - step) <= STEPS_AN_EPOCH]
            resident, handles, threads = (
                statistics.median(getattr(s, name) for s in near)
                for name in ("resident", "handles", "threads")
            )
            cells += [f"{resident / MIB:.1f}", f"{handles:.0f}", f"{threads:.0f}"]
        print(f"| {step:,} | {' | '.join(cells)} |")


def is_flat(found: dict[str, list[Sample]], options: Any) -> bool:
    """Print the slopes; whether all are within the limits."""
    # Within an epoch, and at its end.
    saves = 1000 / STEPS_AN_EPOCH * math.ceil(STEPS_AN_EPOCH / options.checkpoint_every)
    flat = True
    print("\nslope over the last 80 % of the steps:")
    for way, samples in found.items():
        resident, handles, error = growth(samples)
        verdict = "flat" if resident / KIB <= options.limit else "GROWS"
        if handles > HANDLES_LIMIT:
            verdict = "GROWS"
        flat &= verdict == "flat"
        print(
            f"{way}: {resident / KIB:.0f} +- {error / KIB:.0f} KiB per 1,000 steps, "
            f"{resident / KIB / saves:.1f} a checkpoint (limit {options.limit:.0f} per 1,000 "
            f"steps); {handles:+.2f} handles per 1,000 steps; at most "
            f"{max(s.handles for s in samples)} handles, {max(s.threads for s in samples)} "
            f"threads: {verdict}"
        )
    return flat


def figure_of(found: dict[str, list[Sample]]) -> Any:
    """Memory and handles by step, each look a dot, a line through the medians of the epochs."""
    figure = new_figure((10, 4), dpi=100)
    figure.set_layout_engine("constrained")
    panels = (("resident", MIB, "MiB in memory"), ("handles", 1, "open handles"))
    for number, (name, unit, label) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 2, number)
        for color, (way, samples) in enumerate(found.items()):
            steps = [s.step for s in samples]
            values = [getattr(s, name) / unit for s in samples]
            axes.plot(steps, values, ".", color=f"C{color}", alpha=0.15, markersize=3)
            epochs = sorted(set(steps))
            by_step = {n: [v for m, v in zip(steps, values, strict=True) if m == n] for n in epochs}
            medians = [statistics.median(by_step[n]) for n in epochs]
            axes.plot(epochs, medians, color=f"C{color}", label=way)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    main()
