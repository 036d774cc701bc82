"""The line that a run prints before its first step: what it trains on, where, and in what unit."""

# JAX's functions are without full hints:
# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.data import Dataset, Split, num_batches
from vae_jax.models import create_model
from vae_jax.training.parallel import Parallel
from vae_jax.training.run import Run

_SHOWN = 3  # labels whose images are counted


def start_line(run: Run, dataset: Dataset, parallel: Parallel) -> str:
    """Describe a run's data, devices, steps per epoch and loss in one line.

    For example "61 of 64 pictures, 3 GIFs left out; colour to grey; labels 0: 31, 1: 30; cpu; 1
    step per epoch; loss in nats, summed over a batch and averaged over an epoch".
    """
    recipe, total = run.recipe, len(dataset.train)
    steps = num_batches(total, recipe.batch_size, recipe.drop_remainder)
    counted = f"{total:,} image{'s' * (total > 1)}"
    held_out = f", {len(dataset.test):,} held out" if dataset.test else ""
    chosen = f"{counted} chosen from " if dataset.description and recipe.images != "all" else ""
    words = {"sum": "summed", "mean": "averaged"}
    parts = (
        chosen + (dataset.description or counted) + held_out,
        _labels(dataset.train),
        _devices(parallel),
        f"{steps:,} step{'s' * (steps > 1)} per epoch",
        f"loss in {_unit(run)}, {words[recipe.reduction]} over a batch and "
        f"{words[recipe.epoch_loss]} over an epoch",
    )
    return "; ".join(part for part in parts if part)


def _labels(split: Split) -> str:
    labels, counts = np.unique(split.labels, return_counts=True)
    if len(labels) < 2:
        return ""
    shown = [f"{a}: {n:,}" for a, n in zip(labels[:_SHOWN], counts[:_SHOWN], strict=True)]
    return f"labels {', '.join(shown)}{', ...' if len(labels) > _SHOWN else ''}"


def _devices(parallel: Parallel) -> str:
    kind = jax.default_backend()
    return kind if parallel.num_devices == 1 else f"{parallel.num_devices} {kind} devices"


def _unit(run: Run) -> str:
    model: Any = create_model(run.model, **run.hyper)
    image = jnp.zeros((1, *model.image_shape))
    label = jnp.zeros((1, model.num_classes)) if model.num_classes else None
    noise = jnp.zeros((1, model.latent_size))

    def forward() -> Any:
        key = jax.random.key(0)
        return model.init_with_output(key, image, label, noise=noise, method="forward")[0][0]

    return jax.eval_shape(forward).unit
