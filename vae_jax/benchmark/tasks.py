"""What is measured: a kind of work on a model, with synthetic images for it."""

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
from vae_jax.models.hyper import canonical
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec

WORKS = ("step", "epoch", "encode", "decode", "sample")
"""The kinds of work: a training step, all the images once, and the three uses of a trained model
(``encode`` is the posterior's mean; ``sample`` draws from the prior and decodes)."""

PRECISIONS = ("float32", "tf32", "bfloat16")
"""Of the factors of products; weights, sums and the optimiser stay in float32."""

_BATCH = 256  # of encode, decode and sample
_EPOCH_PIXELS = 60_000 * 28 * 28  # of an epoch's images, unless their number is given


@dataclasses.dataclass(frozen=True)
class Task:
    """One thing to measure, on synthetic images.

    Attributes:
        model: one of ``vae_jax.MODELS``.
        work: one of ``WORKS``.
        batch_size: images at a time.
        num_images: of an epoch.
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
        """The model's line of the table."""
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
        """What one unit of the work costs at the least."""
        sizes = {"batch_size": self.batch_size, "images": self.images, "steps": self.num_steps}
        return cost_of(self.spec, self.module, self.work, **sizes)

    @functools.cached_property
    def data(self) -> Split:
        """Pixels of uniform noise with random labels: a batch, or an epoch's."""
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
        """Return the data's labels as float32 [N, K], K being 0 for a model without labels."""
        classes = self.spec.num_classes
        return np.eye(max(classes, 10), dtype=np.float32)[self.data.labels][:, :classes]

    def latents(self) -> np.ndarray:
        """Return a batch of points of the prior, float32 [B, L]."""
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
    **hyper: Any,
) -> Task:
    """Return a task with what is left out filled in.

    Args:
        model: one of ``vae_jax.MODELS``.
        work: one of ``WORKS``.
        batch_size: default: the tutorial's for training, 256 for the rest.
        num_images: of an epoch; default: 60,000 of 28x28, or as many pixels of another size.
        precision: one of ``PRECISIONS``.
        device: ``cpu`` or ``gpu``; default: JAX's own.
        **hyper: hyperparameters that differ from the reference's.

    Raises:
        UserError: an unknown model, hyperparameter, work or precision; or a precision that is not
            the CPU's.
    """
    if work not in WORKS:
        raise UserError(f"there is no work {work!r}; expected one of {', '.join(WORKS)}")
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}; expected one of {', '.join(PRECISIONS)}")
    device = device or ("cpu" if jax.default_backend() == "cpu" else "gpu")
    if device == "cpu" and precision != "float32":
        raise UserError(f"{precision} is a GPU's and this is a CPU; leave out --precision here")
    hyper = canonical(get_spec(model), hyper)
    task = Task(model, work, batch_size or 1, num_images or 1, hyper, precision, device)
    area = task.module.image_shape[0] * task.module.image_shape[1]
    return dataclasses.replace(
        task,
        batch_size=batch_size or (task.spec.recipe.batch_size if task.trains else _BATCH),
        num_images=num_images or max(_EPOCH_PIXELS // area, 1),
    )


def tiny(task: Task, model: str = "digits_ae", **hyper: Any) -> Task:
    """Return the same work at the least size, which loads the same libraries.

    Args:
        task: of any size.
        model: a small one, with its hyperparameters; default: an autoencoder of one hidden unit.
        **hyper: that make it smaller.
    """
    hyper = hyper or {"latent_size": 1, "hidden_size": 1}
    return dataclasses.replace(task, model=model, hyper=hyper, batch_size=2, num_images=2)
