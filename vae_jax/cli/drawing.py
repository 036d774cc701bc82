"""Images out of a trained model for the commands that draw, and the tutorials' epoch figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vae_jax import figures
from vae_jax.data import Dataset, Split, first_of_each_class
from vae_jax.distributions import central_latent
from vae_jax.errors import DataError
from vae_jax.models import create_model, get_spec
from vae_jax.training.run import Run
from vae_jax.training.step import example_noise, scale_pixels
from vae_jax.typing import Variables

NUM_SAMPLES = 18  # tutorial 002, plot_epoch
SAMPLE_SEED = 0  # the same points after every epoch, so that the figures can be compared


def epoch_figure(run: Run, dataset: Dataset) -> Callable[[int, Variables], Any]:
    """A function of the epoch and the variables that writes ``figures/epoch_NNN.png``."""
    spec, model = get_spec(run.model), create_model(run.model, **run.hyper)
    held_out = dataset.test or dataset.train

    def draw(epoch: int, variables: Variables) -> None:
        if spec.epoch_figure == "reconstructions":
            chosen = held_out.images[_one_of_each(held_out, len(dataset.class_names))]
            figure = figures.reconstruction_rows(
                *reconstruct(model, variables, chosen, spec.pixel_range)
            )
        else:
            figure = figures.sample_grid(
                sample(model, variables, NUM_SAMPLES, SAMPLE_SEED, spec.pixel_range)
            )
        figures.save_figure(figure, run.figures / f"epoch_{epoch:03d}.png")

    return draw


def reconstruct(
    model: Any, variables: Variables, stored: np.ndarray, pixel_range: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Stored images [N, H, W, C] and their reconstructions (from the posterior's mean), both as
    floats in [0, 1]."""

    @jax.jit
    def run(variables, stored):
        latent = model.apply(variables, scale_pixels(stored, pixel_range), method="encode")
        return model.apply(variables, central_latent(latent), method="decode")

    decoded = np.concatenate(
        [np.asarray(run(variables, stored[i : i + 64])) for i in range(0, len(stored), 64)]
    )
    return stored.astype(np.float32) / 255, _to_unit(decoded, pixel_range)


def sample(
    model: Any, variables: Variables, count: int, seed: int, pixel_range: tuple[float, float]
) -> np.ndarray:
    """Images in [0, 1], [count, H, W, C], decoded from the prior with a seed's noise."""
    z = example_noise(jax.random.key(seed), count, model.latent_size)
    decode = jax.jit(lambda v, z: model.apply(v, z, method="decode"))
    return _to_unit(np.asarray(decode(variables, z)), pixel_range)


def _to_unit(image: np.ndarray, pixel_range: tuple[float, float]) -> np.ndarray:
    low, high = pixel_range
    return (image - low) / (high - low)


def _one_of_each(split: Split, num_classes: int) -> np.ndarray:
    try:
        return first_of_each_class(split, num_classes)
    except DataError:  # a class without an example: draw what there is
        return np.arange(min(10, len(split)))
