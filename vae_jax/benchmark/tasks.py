"""What is measured: a model, a kind of work and a batch, with synthetic images for it.

Nothing here imports JAX, so that the command line can list the choices at once.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.errors import UserError

if TYPE_CHECKING:
    from vae_jax.data import Split
    from vae_jax.recipe import Recipe
    from vae_jax.spec import ModelSpec

WORKS = ("step", "epoch", "encode", "decode", "sample")
"""The kinds of work: a training step, all the images once, and the three uses of a trained model
(``encode`` is the posterior's mean; ``sample`` draws from the prior and decodes)."""

PRECISIONS = ("float32", "tf32", "bfloat16")
"""Of the factors of products; weights, sums and the optimiser stay in float32."""

Run = Callable[[int], float | None]
"""Does the work so many times, one after another, and waits for the end; returns the last loss,
where there is one."""

_BATCH = 256  # of encode, decode and sample
_EPOCH_PIXELS = 60_000 * 28 * 28  # of an epoch's images, unless their number is given


@dataclasses.dataclass(frozen=True)
class Task:
    """One thing to measure.

    Attributes:
        model: one of ``vae_jax.MODELS``.
        work: one of ``WORKS``.
        batch_size: images at a time.
        num_images: of an epoch.
        hyper: hyperparameters that differ from the reference's.
        precision: one of ``PRECISIONS``.
        device: ``cpu`` or ``gpu``, for every framework.
    """

    model: str
    work: str
    batch_size: int
    num_images: int
    hyper: dict[str, Any] = dataclasses.field(default_factory=dict)
    precision: str = "float32"
    device: str = "cpu"

    @property
    def spec(self) -> ModelSpec:
        """The model's line of the table."""
        from vae_jax.models import get_spec

        return get_spec(self.model)

    @functools.cached_property
    def module(self) -> Any:
        """The Flax module."""
        from vae_jax.models import create_model

        return create_model(self.model, **self.hyper)

    @property
    def recipe(self) -> Recipe:
        """The tutorial's recipe with the task's batch size."""
        return self.spec.recipe.replace(batch_size=self.batch_size)

    @property
    def trains(self) -> bool:
        """Whether the work changes weights."""
        return self.work in ("step", "epoch")

    @functools.cached_property
    def is_convolutional(self) -> bool:
        """Whether the model has any convolution."""
        from vae_jax.models import has_convolutions

        return has_convolutions(self.module)

    @property
    def num_steps(self) -> int:
        """Batches in one unit of the work."""
        from vae_jax.data import num_batches

        if self.work != "epoch":
            return 1
        return num_batches(self.num_images, self.batch_size, self.recipe.drop_remainder)

    @property
    def images(self) -> int:
        """Images in one unit of the work."""
        whole = self.num_images if self.work == "epoch" else self.batch_size
        return min(whole, self.num_steps * self.batch_size)

    @functools.cached_property
    def data(self) -> Split:
        """Pixels of uniform noise with random labels: a batch, or an epoch's."""
        from vae_jax.data import Split

        count = self.num_images if self.work == "epoch" else self.batch_size
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (count, *self.module.image_shape), np.uint8)
        labels = rng.integers(0, self.spec.num_classes or 10, count, np.int32)
        return Split(pixels, labels)

    def floats(self) -> np.ndarray:
        """The data's images as float32 [N, H, W, C] in the model's range."""
        low, high = self.spec.pixel_range
        scaled = self.data.images.astype(np.float32) / np.float32(255)
        return scaled * np.float32(high - low) + np.float32(low)

    def one_hot(self) -> np.ndarray:
        """The data's labels as float32 [N, K], K being 0 for a model without labels."""
        return np.eye(max(self.spec.num_classes, 10), dtype=np.float32)[self.data.labels][
            :, : self.spec.num_classes
        ]

    def latents(self) -> np.ndarray:
        """A batch of points of the prior, float32 [B, L]."""
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
    """A task with what is left out filled in.

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
    import jax

    from vae_jax.models import get_spec
    from vae_jax.models.hyper import canonical

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
    usual = task.spec.recipe.batch_size if task.trains else _BATCH
    return dataclasses.replace(
        task,
        batch_size=batch_size or usual,
        num_images=num_images or max(_EPOCH_PIXELS // area, 1),
    )
