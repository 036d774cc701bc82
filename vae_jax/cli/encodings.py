"""Where a model puts training images: their posteriors, and the dimensions of them to draw."""

from __future__ import annotations

from typing import Any, NamedTuple

from vae_jax.data import Dataset, Split, open_training_data
from vae_jax.errors import UserError
from vae_jax.pretrained import Pretrained


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


def training_data(loaded: Pretrained, data: str | None) -> Dataset:
    """The data that a model was trained on, with the images its recipe chose; or those named."""
    recipe = loaded.recipe.replace(data=data, images="all") if data else loaded.recipe
    return open_training_data(recipe, loaded.image_shape)


def encode_training_images(loaded: Pretrained, data: str | None, count: int) -> Encoded:
    """Encodes the first ``count`` training images."""
    dataset = training_data(loaded, data)
    images = Split(dataset.train.images[:count], dataset.train.labels[:count])
    encoded = loaded.encode(images.images, loaded.label_if_taken(images.labels))
    return Encoded(encoded, images, dataset)


def require_dimensions(loaded: Pretrained, dimensions: tuple[int, int] | None) -> list[int]:
    """The two dimensions to draw, the first two unless said otherwise.

    Raises:
        UserError: the model has no posterior, or not these two dimensions.
    """
    size = loaded.latent_size
    if not loaded.spec.variational:
        raise UserError(f"{loaded.name} is a plain autoencoder; expected a model with a posterior")
    first, second = dimensions or (0, 1)
    if max(first, second) >= size or first == second:
        raise UserError(f"--dimensions {first} {second}: expected two of 0 to {size - 1}")
    return [first, second]
