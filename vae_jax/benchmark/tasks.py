"""Tasks to measure: a kind of work on a model, with synthetic images."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from vae_jax.benchmark.roofline import Cost, cost_of
from vae_jax.data import Split, num_batches
from vae_jax.errors import UserError
from vae_jax.layers.kernels import Kernels
from vae_jax.models import create_model, get_spec
from vae_jax.models.hyper import parse_hyperparameters
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec

WORKS = ("step", "epoch", "encode", "decode", "sample")
"""The kinds of work: a training step, an epoch, and three uses of a trained model (``encode``
computes the posterior's mean; ``sample`` draws from the prior and decodes)."""

PRECISIONS = ("float32", "tf32", "bfloat16")
"""Precisions of products; weights, sums and the optimiser stay in float32."""

_BATCH = 256  # default batch size of encode, decode and sample
_EPOCH_PIXELS = 60_000 * 28 * 28  # pixels of an epoch's images by default


@dataclasses.dataclass(frozen=True)
class Task:
    """A task to measure, on synthetic images.

    Attributes:
        model: one of ``vae_jax.MODELS``.
        work: one of ``WORKS``.
        batch_size: images per batch.
        num_images: images per epoch.
        hyper: hyperparameters that differ from the reference's.
        precision: one of ``PRECISIONS``.
        device: ``cpu`` or ``gpu``, for every framework.
        kernels: of this package's layers; None: the backend's.
    """

    model: str
    work: str
    batch_size: int
    num_images: int
    hyper: dict[str, Any] = dataclasses.field(default_factory=dict)
    precision: str = "float32"
    device: str = "cpu"
    kernels: Kernels | None = None

    @property
    def spec(self) -> ModelSpec:
        """The model's specification."""
        return get_spec(self.model)

    @functools.cached_property
    def module(self) -> Any:
        """The Flax module."""
        return create_model(self.model, **self.hyper).clone(kernels=self.kernels)

    @property
    def recipe(self) -> Recipe:
        """The tutorial's recipe with the task's batch size."""
        return self.spec.recipe.replace(batch_size=self.batch_size)

    @property
    def trains(self) -> bool:
        """Whether the work changes weights."""
        return self.work in ("step", "epoch")

    @property
    def num_steps(self) -> int:
        """Batches in one unit of the work."""
        if self.work != "epoch":
            return 1
        return num_batches(self.num_images, self.batch_size, self.recipe.drop_remainder)

    @property
    def images(self) -> int:
        """Images in one unit of the work."""
        whole = self.num_images if self.work == "epoch" else self.batch_size
        return min(whole, self.num_steps * self.batch_size)

    @property
    def cost(self) -> Cost:
        """The least cost of one unit of the work."""
        sizes = {"batch_size": self.batch_size, "images": self.images, "steps": self.num_steps}
        return cost_of(self.spec, self.module, self.work, **sizes)

    @functools.cached_property
    def data(self) -> Split:
        """Random pixels and labels of a batch or an epoch."""
        count = self.num_images if self.work == "epoch" else self.batch_size
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (count, *self.module.image_shape), np.uint8)
        labels = rng.integers(0, self.spec.num_classes or 10, count, np.int32)
        return Split(pixels, labels)

    def floats(self) -> np.ndarray:
        """Return the data's images as float32 [N, H, W, C] in the model's range."""
        low, high = self.spec.pixel_range
        scaled = self.data.images.astype(np.float32) / np.float32(255)
        return scaled * np.float32(high - low) + np.float32(low)

    def one_hot(self) -> np.ndarray:
        """Return the data's labels as float32 [N, K]; K is 0 for a model without labels."""
        classes = self.spec.num_classes
        return np.eye(max(classes, 10), dtype=np.float32)[self.data.labels][:, :classes]

    def latents(self) -> np.ndarray:
        """Return a batch of draws from the prior, float32 [B, L]."""
        shape = (self.batch_size, self.module.latent_size)
        return np.random.default_rng(1).standard_normal(shape, np.float32)


def make_task(
    model: str,
    work: str = "step",
    *,
    batch_size: int | None = None,
    num_images: int | None = None,
    precision: str = "float32",
    device: str | None = None,
    **hyper: object,
) -> Task:
    """Return a task, with defaults for what is left out.

    Args:
        model: one of ``vae_jax.MODELS``.
        work: one of ``WORKS``.
        batch_size: images per batch; default: the tutorial's for training, 256 for the rest.
        num_images: images per epoch; default: 60,000 of 28x28, or as many pixels of another size.
        precision: one of ``PRECISIONS``.
        device: ``cpu`` or ``gpu``; default: JAX's.
        **hyper: hyperparameters that differ from the reference's.

    Raises:
        UserError: the model, a hyperparameter, the work or the precision does not exist, or the
            precision needs a GPU.
    """
    if work not in WORKS:
        raise UserError(f"there is no work {work!r}; expected one of {', '.join(WORKS)}")
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}; expected one of {', '.join(PRECISIONS)}")
    device = device or ("cpu" if jax.default_backend() == "cpu" else "gpu")
    if device == "cpu" and precision != "float32":
        raise UserError(f"{precision} needs a GPU and this is a CPU; leave out --precision")
    hyper = parse_hyperparameters(get_spec(model), hyper)
    task = Task(model, work, batch_size or 1, num_images or 1, hyper, precision, device)
    area = task.module.image_shape[0] * task.module.image_shape[1]
    return dataclasses.replace(
        task,
        batch_size=batch_size or (task.spec.recipe.batch_size if task.trains else _BATCH),
        num_images=num_images or max(_EPOCH_PIXELS // area, 1),
    )


def tiny(task: Task, model: str = "digits_ae", **hyper: object) -> Task:
    """Return the same work at the smallest size, which loads the same libraries.

    Args:
        task: the task.
        model: a small model; default: an autoencoder with one hidden unit.
        **hyper: its hyperparameters.
    """
    hyper = hyper or {"latent_size": 1, "hidden_size": 1}
    return dataclasses.replace(task, model=model, hyper=hyper, batch_size=2, num_images=2)
