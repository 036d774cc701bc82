"""Small things to train: 28x28 noise for digits, and a VAE with every kind of state but no size."""

from __future__ import annotations

import math
import os
import struct
from typing import Any, ClassVar

import flax.linen as nn
import jax
import numpy as np
import pytest

from vae_jax.data import Split
from vae_jax.data.dataset import make_dataset
from vae_jax.distributions import DiagonalGaussian, SquaredError
from vae_jax.layers import BatchNorm, Dense
from vae_jax.models import MODELS
from vae_jax.models.base import Autoencoder
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec, Reference
from vae_jax.training.run import Run

HYPER = {"latent_size": 3, "hidden_size": 8}


def images_of(num_examples, seed=0):
    """Images and labels; the classes go round, so that each of the ten has an example."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (num_examples, 28, 28, 1), dtype=np.uint8)
    return Split(images, np.arange(num_examples, dtype=np.int32) % 10)


def dataset_of(num_examples=22, seed=0):
    names = tuple("0123456789")
    return make_dataset("in memory", images_of(num_examples, seed), images_of(10, seed + 1), names)


def environment() -> dict[str, str]:
    """Of a process that is to find what this one has compiled."""
    config: Any = jax.config
    return os.environ | {"JAX_COMPILATION_CACHE_DIR": config.jax_compilation_cache_dir}


def slow(*values):
    """A parameter that only the slow tier takes."""
    return pytest.param(*values, marks=pytest.mark.slow)


def write_idx(folder, num_examples=22, seed=0):
    """The same images as MNIST's own files."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, split in (
        ("train", images_of(num_examples, seed)),
        ("t10k", images_of(10, seed + 1)),
    ):
        for kind, array in (("images", split.images[..., 0]), ("labels", split.labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            path = folder / f"{prefix}-{kind}-idx{array.ndim}-ubyte"
            path.write_bytes(header + array.astype(np.uint8).tobytes())
    return folder


class TinyVAE(Autoencoder):
    """A dense VAE with a batch norm: noise, statistics and a divergence in 10,000 parameters."""

    latent_size: int = 2
    image_shape: ClassVar[tuple[int, int, int]] = (28, 28, 1)

    def setup(self):
        self.norm = BatchNorm()
        self.mean = Dense(self.latent_size)
        self.log_std = Dense(self.latent_size)
        self.image = Dense(math.prod(self.image_shape))

    def encode(self, x, label=None, *, train=False, mask=None):
        x = self.norm(x, train=train, mask=mask).reshape(x.shape[0], -1)
        return DiagonalGaussian(self.mean(x), self.log_std(x))

    def image_likelihood(self, z, label=None, *, train=False, mask=None):
        return SquaredError(nn.sigmoid(self.image(z)).reshape(-1, *self.image_shape))


TINY_VAE = ModelSpec(
    name="tiny_vae",
    summary="for tests",
    module=TinyVAE,
    reference=Reference(framework="none", tutorial="none", checkpoint="none"),
    recipe=Recipe(
        data="digits", epochs=3, batch_size=8, learning_rate=1e-3, weight_decay=1e-3, beta=0.5
    ),
    rules=lambda model: (),
    variational=True,
)


def run_of(path, model="digits_ae", **fields):
    """A run of 3 epochs of batches of 8: of 22 images, three a epoch, the last one padded."""
    fields = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-2} | fields
    hyper = HYPER if model == "digits_ae" else {}
    return Run(path, model, dict(hyper), MODELS[model].recipe.replace(**fields))


def in_float64(loss):
    """Return the loss with images and noise widened, for a step whose parameters are float64."""

    def widened(params, batch_stats, batch, noise, **settings):
        batch = {**batch, "image": batch["image"].astype(np.float64)}
        noise = None if noise is None else noise.astype(np.float64)
        return loss(params, batch_stats, batch, noise, **settings)

    return widened


def bits(tree):
    """Every leaf of a tree by path, as dtype, shape and bytes."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
    return {path: (a.dtype.name, a.shape, a.tobytes()) for path, a in arrays.items()}


def without_seconds(records):
    times = ("seconds", "compile_seconds")
    return [{k: v for k, v in record.items() if k not in times} for record in records]
