"""Trains a model by its recipe in JAX and in its original framework, several seeds each.

The two start from their own initialisations and draw their own batches and noise, so the figures
agree in distribution, not number by number: the means should differ by less than their standard
errors explain. Needs the `test` extra:

    python scripts/compare_training.py digits_ae --data idx:/usr/share/datasets/fashion-mnist
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from vae_jax.data import Dataset, open_dataset
from vae_jax.errors import UserError
from vae_jax.models import create_model, get_spec
from vae_jax.parity.pytorch import TorchReference
from vae_jax.spec import Recipe
from vae_jax.training.loop import train
from vae_jax.training.run import Run


def train_jax(name: str, recipe: Recipe, dataset: Dataset) -> list[float]:
    """The tutorial's figure after each epoch, by this package."""
    with tempfile.TemporaryDirectory() as folder:
        epochs = train(Run(Path(folder), name, {}, recipe), dataset).epochs
    return [record["loss"] for record in epochs]


def train_torch(name: str, recipe: Recipe, dataset: Dataset) -> list[float]:
    """The same by the tutorial's PyTorch loop, its images held in memory."""
    reference = TorchReference(name, np.float32, seed=recipe.seed)
    model, spec = reference.model.train(), get_spec(name)
    latent_size = create_model(name).latent_size
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
    )
    images = torch.from_numpy(np.array(dataset.train.images))
    figures = []
    for _ in range(recipe.epochs):
        losses = []
        for chosen in torch.randperm(len(images)).split(recipe.batch_size):
            image = images[chosen].float() / 255
            noise = torch.randn(len(chosen), latent_size) if spec.variational else None
            loss = torch.stack(list(reference.runner.loss(model, image, noise).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        figures.append(float(np.mean(losses) if recipe.epoch_loss == "mean" else np.sum(losses)))
    return figures


def main() -> None:
    """Prints a line a run, then means, standard errors and their distance."""
    parser = argparse.ArgumentParser(description="Final losses, JAX beside the original")
    parser.add_argument("model")
    parser.add_argument("--data", help="default: the recipe's")
    parser.add_argument("--epochs", type=int, help="default: the recipe's")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    recipe = get_spec(args.model).recipe
    changes = {k: v for k, v in (("data", args.data), ("epochs", args.epochs)) if v is not None}
    recipe = recipe.replace(**changes)
    dataset = open_dataset(recipe.data, create_model(args.model).image_shape)
    print(f"{args.model}, {recipe.data}: {len(dataset.train)} images, {recipe.epochs} epochs")
    finals: dict[str, list[float]] = {"JAX": [], "PyTorch": []}
    for seed in range(args.seeds):
        for side, run in (("JAX", train_jax), ("PyTorch", train_torch)):
            started = time.perf_counter()
            final = run(args.model, recipe.replace(seed=seed), dataset)[-1]
            finals[side].append(final)
            seconds = time.perf_counter() - started
            print(f"  {side:<8} seed {seed}: final loss {final:.3f} ({seconds:.0f} s)", flush=True)
    means = {side: float(np.mean(v)) for side, v in finals.items()}
    errors = {side: float(np.std(v, ddof=1) / np.sqrt(len(v))) for side, v in finals.items()}
    for side in finals:
        print(f"  {side:<8} {means[side]:.3f} +- {errors[side]:.3f} (standard error)")
    gap, spread = abs(means["JAX"] - means["PyTorch"]), np.hypot(errors["JAX"], errors["PyTorch"])
    print(f"  apart by {gap:.3f} = {gap / spread:.2f} standard errors")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
