"""Trains models by their recipes in JAX and in their original frameworks, several seeds each.

The two draw their own batches and noise, so the figures agree in distribution, not number by
number: the means should differ by less than their standard errors explain. They start from their
own initialisations, or with --same-start both from the original's: a short run of `digits_vae`
depends on its first weights more than on all that follows. Prints the loss and its terms in the
last epoch (the mean over its batches, or the sum where the tutorial prints a sum). With --out each
run is kept as a line of that file, and runs that it holds are not made again. Needs the `test`
extra:

    python scripts/compare_training.py --data idx:/usr/share/datasets/fashion-mnist digits_ae
    python scripts/compare_training.py --data idx:DIR --epochs digits_vae=3 --epochs digits_cvae=3
"""

import argparse
import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.convert import import_weights
from vae_jax.data import Dataset, open_dataset
from vae_jax.errors import UserError
from vae_jax.models import create_model, get_spec
from vae_jax.parity.backends import create_reference
from vae_jax.recipe import Recipe
from vae_jax.training.loop import train
from vae_jax.training.run import Run

MODELS = ("digits_ae", "conv_vae", "stddev_vae", "digits_vae", "digits_cvae")
Terms = dict[str, float]


def train_port(name: str, recipe: Recipe, dataset: Dataset, same_start: bool) -> Terms:
    """The figures of the last epoch, by this package."""
    variables = None
    if same_start:
        tensors = create_reference(name, np.float32, seed=recipe.seed).state_dict()
        variables = import_weights(name, tensors)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), name, {}, recipe)
        record = train(run, dataset, variables=variables).epochs[-1]
    return {k: v for k, v in record.items() if k not in ("epoch", "step", "seconds")}


def train_reference(name: str, recipe: Recipe, dataset: Dataset) -> Terms:
    """The same by the original, its images held in memory, its noise and order from NumPy."""
    spec, model = get_spec(name), create_model(name)
    reference = create_reference(name, np.float32, seed=recipe.seed)
    rng, (low, high) = np.random.default_rng(recipe.seed), spec.pixel_range
    count, size = len(dataset.train), recipe.batch_size
    stop = count - count % size if recipe.drop_remainder else count
    totals: Terms = {}
    for _ in range(recipe.epochs):
        order = rng.permutation(count)
        batches = [order[i : min(i + size, stop)] for i in range(0, stop, size)]
        totals = {}
        for chosen in batches:
            image = dataset.train.images[chosen].astype(np.float32) / 255 * (high - low) + low
            noise: Any = None
            if spec.variational:
                noise = rng.standard_normal((len(chosen), model.latent_size), np.float32)
            label = None
            if spec.num_classes:
                label = np.eye(spec.num_classes, dtype=np.float32)[dataset.train.labels[chosen]]
            for term, value in reference.step(recipe, image, noise, label).items():
                totals[term] = totals.get(term, 0.0) + value
        if recipe.epoch_loss == "mean":
            totals = {term: value / len(batches) for term, value in totals.items()}
    return totals


def run_all(
    name: str,
    recipe: Recipe,
    seeds: int,
    kept: dict[str, Terms],
    out: Path | None,
    same_start: bool,
) -> dict[str, list[str]]:
    """Makes the runs that are not kept yet, and keeps them; their keys, a list a side."""
    port = functools.partial(train_port, same_start=same_start)
    dataset: Dataset | None = None
    keys: dict[str, list[str]] = {}
    for seed in range(seeds):
        for side, run in (("JAX", port), ("original", train_reference)):
            own = [] if side == "original" or not same_start else ["same start"]
            key = json.dumps([name, side, recipe.data, recipe.epochs, seed, *own])
            keys.setdefault(side, []).append(key)
            if key in kept:
                continue
            dataset = dataset or open_dataset(recipe.data, create_model(name).image_shape)
            started = time.perf_counter()
            kept[key] = run(name, recipe.replace(seed=seed), dataset)
            text = ", ".join(f"{k} {v:.3f}" for k, v in kept[key].items())
            print(f"{name}, {side}, seed {seed}: {text} ({time.perf_counter() - started:.0f} s)")
            if out:
                with out.open("a") as file:
                    file.write(json.dumps([key, kept[key]]) + "\n")
    return keys


def table(name: str, recipe: Recipe, keys: dict[str, list[str]], kept: dict[str, Terms]):
    """A line a term: means with standard errors, and how many of these they are apart."""
    for term in kept[keys["JAX"][0]]:
        means, errors = [], []
        for side in ("JAX", "original"):
            values = [kept[key][term] for key in keys[side]]
            means.append(np.mean(values))
            errors.append(np.std(values, ddof=1) / np.sqrt(len(values)) if values[1:] else np.nan)
        cells = [f"{m:.3f} +- {e:.3f}" for m, e in zip(means, errors, strict=True)]
        apart = abs(means[0] - means[1]) / np.hypot(*errors)
        framework = get_spec(name).reference.framework
        print(
            f"{name:<12} {framework:<11} {recipe.epochs:>6} {len(keys['JAX']):>5}  {term:<15}"
            f"{cells[0]:>20} {cells[1]:>20} {apart:>6.2f}"
        )


def main() -> None:
    """Prints a line a run, then one table."""
    parser = argparse.ArgumentParser(description="Final loss terms, JAX beside the originals")
    parser.add_argument("models", nargs="*", metavar="MODEL", default=MODELS, help="default: five")
    parser.add_argument("--data", help="default: the recipe's")
    for option, kind in (("epochs", "the recipe's"), ("seeds", "3")):
        parser.add_argument(
            f"--{option}", action="append", default=[], metavar="MODEL=N", help=f"default: {kind}"
        )
    parser.add_argument("--same-start", action="store_true", help="from the original's weights")
    parser.add_argument("--out", type=Path, help="keep the runs here")
    args = parser.parse_args()
    epochs, seeds = (
        {model: int(n) for model, _, n in (text.partition("=") for text in texts)}
        for texts in (args.epochs, args.seeds)
    )
    kept = {}
    if args.out and args.out.exists():
        kept = dict(json.loads(line) for line in args.out.read_text().splitlines())
    found = []
    for name in args.models:
        recipe = get_spec(name).recipe
        recipe = recipe.replace(
            data=args.data or recipe.data, epochs=epochs.get(name, recipe.epochs)
        )
        keys = run_all(name, recipe, seeds.get(name, 3), kept, args.out, args.same_start)
        found.append((name, recipe, keys))
    print(
        f"\n{'model':<12} {'original':<11} {'epochs':>6} {'seeds':>5}  {'term':<15}"
        f"{'JAX':>20} {'original':>20}  apart (standard errors)"
    )
    for name, recipe, keys in found:
        table(name, recipe, keys, kept)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
