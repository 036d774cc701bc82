"""Where a model puts training images: their posteriors, and the dimensions of them to draw."""

from __future__ import annotations

from typing import Any, NamedTuple

from vae_jax.cli import drawing
from vae_jax.cli.inputs import open_training_data
from vae_jax.cli.trained import Trained
from vae_jax.data import Dataset, Split
from vae_jax.data.pixels import scale_pixels
from vae_jax.errors import UserError


class Encoded(NamedTuple):
    """The first training images, encoded.

    Attributes:
        encoded: what ``encode`` returned for them.
        images: the images themselves, with their labels.
        dataset: that they are from.
    """

    encoded: Any
    images: Split
    dataset: Dataset


def training_data(loaded: Trained, data: str | None) -> Dataset:
    """The data that a model was trained on, with the images its recipe chose; or those named."""
    recipe = loaded.recipe.replace(data=data, images="all") if data else loaded.recipe
    return open_training_data(recipe, loaded.model.image_shape)


def encode_training_images(loaded: Trained, data: str | None, count: int) -> Encoded:
    """Encodes the first ``count`` training images."""
    dataset = training_data(loaded, data)
    images = Split(dataset.train.images[:count], dataset.train.labels[:count])
    x = scale_pixels(images.images, loaded.spec.pixel_range)
    return Encoded(drawing.encode(loaded, x, images.labels), images, dataset)


def require_dimensions(loaded: Trained, dimensions: tuple[int, int] | None) -> list[int]:
    """The two dimensions to draw, the first two unless said otherwise.

    Raises:
        UserError: the model has no posterior, or not these two dimensions.
    """
    size = loaded.model.latent_size
    if not loaded.spec.variational:
        raise UserError(f"{loaded.name} is a plain autoencoder; expected a model with a posterior")
    first, second = dimensions or (0, 1)
    if max(first, second) >= size or first == second:
        raise UserError(f"--dimensions {first} {second}: expected two of 0 to {size - 1}")
    return [first, second]
