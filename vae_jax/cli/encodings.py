"""Encodings of training images, and the latent dimensions to draw."""

from __future__ import annotations

from typing import NamedTuple

from vae_jax.data import Dataset, Split, open_dataset, open_training_data
from vae_jax.distributions import Posterior
from vae_jax.errors import UserError
from vae_jax.pretrained import Pretrained


class Encoded(NamedTuple):
    """The first training images, encoded.

    Attributes:
        encoded: what ``encode`` returned.
        images: the images with their labels.
        dataset: the data set that holds them.
    """

    encoded: Posterior
    images: Split
    dataset: Dataset


def training_source(loaded: Pretrained, data: str | None) -> Dataset:
    """Open the whole data named, or else those of the model's recipe."""
    if data:
        return open_dataset(data, loaded.image_shape)
    return open_training_data(loaded.recipe.replace(images="all"), loaded.image_shape)


def training_data(loaded: Pretrained, data: str | None) -> Dataset:
    """Open the data named; or else the data of the model's recipe, only the images it chose."""
    recipe = loaded.recipe
    if data:
        recipe = recipe.replace(data=data, images="all", skip_unreadable=False)
    return open_training_data(recipe, loaded.image_shape)


def encode_training_images(loaded: Pretrained, data: str | None, count: int) -> Encoded:
    """Encode the first ``count`` training images."""
    dataset = training_data(loaded, data)
    images = Split(dataset.train.images[:count], dataset.train.labels[:count])
    encoded = loaded.encode(images.images, loaded.label_if_taken(images.labels))
    return Encoded(encoded, images, dataset)


def require_dimensions(loaded: Pretrained, dimensions: tuple[int, int] | None) -> list[int]:
    """Return the two dimensions to draw, by default the first two.

    Raises:
        UserError: the model has no posterior, or does not have these dimensions.
    """
    size = loaded.latent_size
    if not loaded.spec.variational:
        raise UserError(f"{loaded.name} is a plain autoencoder; expected a model with a posterior")
    first, second = dimensions or (0, 1)
    if max(first, second) >= size or first == second:
        raise UserError(f"--dimensions {first} {second}: expected two of 0 to {size - 1}")
    return [first, second]
