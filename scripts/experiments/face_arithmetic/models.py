"""The face models of the study, and the faces that they were trained on."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from vae_jax.cli import drawing
from vae_jax.cli.inputs import open_training_data
from vae_jax.cli.trained import Trained, load_trained
from vae_jax.data import Dataset
from vae_jax.data.pixels import scale_pixels
from vae_jax.distributions import DiagonalGaussian
from vae_jax.errors import UserError
from vae_jax.models.face_vae import FaceVAE
from vae_jax.recipe import Recipe
from vae_jax.typing import AnyArray

from .classifier import require_attributes, require_faces

_CHUNK = 64  # images encoded at a time


@dataclasses.dataclass(frozen=True)
class FaceModel:
    """A trained face model.

    Attributes:
        trained: as loaded.
    """

    trained: Trained

    @classmethod
    def load(cls, run: str) -> FaceModel:
        """Load a run.

        Raises:
            UserError: it is of another model, or of faces of a size that cannot be classified.
        """
        trained = load_trained(run)
        if not isinstance(trained.model, FaceVAE):
            raise UserError(f"{run} is a run of {trained.name}; expected face_vae")
        require_faces(trained.model.image_shape)
        return cls(trained)

    @property
    def recipe(self) -> Recipe:
        """How it was trained."""
        return self.trained.recipe

    def encode(self, images: np.ndarray) -> DiagonalGaussian:
        """Return the posteriors of stored images, which may be a memory map."""
        pixel_range = self.trained.spec.pixel_range
        parts = [
            drawing.encode(self.trained, scale_pixels(images[i : i + _CHUNK], pixel_range))
            for i in range(0, len(images), _CHUNK)
        ]
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def decode(self, z: AnyArray) -> np.ndarray:
        """Return pictures in [0, 1] of latents [N, L]."""
        return drawing.decode(self.trained, z)


def open_runs(run: str, autoencoder: str | None) -> tuple[dict[str, FaceModel], Dataset]:
    """Load the models, by name, and open their training data.

    Raises:
        UserError: a run is not of faces, is no plain autoencoder, or the data lack attributes.
    """
    models = {"VAE": FaceModel.load(run)}
    recipe = models["VAE"].recipe
    if autoencoder is not None:
        models["AE"] = FaceModel.load(autoencoder)
        plain = models["AE"].recipe
        if plain.beta or plain.noise:
            raise UserError(
                f"{autoencoder} was trained with beta {plain.beta:g} and noise {plain.noise:g}; "
                "expected a plain autoencoder: vae-jax train face_vae --beta 0 --noise 0"
            )
        if (plain.data, plain.images) != (recipe.data, recipe.images):
            raise UserError(
                f"{autoencoder} was trained on {plain.data}, {run} on {recipe.data}; "
                "expected the same faces"
            )
    data = open_training_data(recipe, models["VAE"].trained.model.image_shape)
    if data.test is None:
        raise UserError(f"{data.name} has no held-out images to try the classifier on")
    for split in (data.train, data.test):
        require_attributes(split.attributes, data.name)
    return models, data
