"""Untrained models, images with attributes, and what is handed to the figures."""

import dataclasses

import numpy as np
import pytest

from vae_jax import figures
from vae_jax.cli import encodings
from vae_jax.data.dataset import Split
from vae_jax.training.checkpoint import save_variables

from ..test_latents_commands import random_weights
from .models import SIZES


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Flax checkpoint folders of untrained models, by name."""
    made = {name: tmp_path_factory.mktemp("models") / name for name in SIZES}
    for name, hyper in SIZES.items():
        save_variables(made[name], name, hyper, random_weights(name, **hyper))
    return made


@pytest.fixture
def drawn(monkeypatch):
    """What was handed to the figures, by the figure's name."""
    calls = {}

    def watch(name):
        right = getattr(figures, name)

        def call(*arguments, **options):
            calls[name] = (arguments, options)
            return right(*arguments, **options)

        monkeypatch.setattr(figures, name, call)

    for name in ("arithmetic_rows", "interpolation_strip", "image_table"):
        watch(name)
    for name in ("save_animation", "latent_scatter", "value_scatter"):
        watch(name)
    return calls


@pytest.fixture
def attributes(monkeypatch):
    """Gives the training images attributes: glasses on even ones, lightness by number."""
    right = encodings.open_training_data

    def call(recipe, shape):
        dataset = right(recipe, shape)
        count = len(dataset.train)
        columns = {
            "glasses": np.where(np.arange(count) % 2, "no", "yes"),
            "lightness": np.linspace(0, 1, count),
        }
        train = Split(dataset.train.images, dataset.train.labels, columns)
        return dataclasses.replace(dataset, train=train)

    monkeypatch.setattr(encodings, "open_training_data", call)
