"""The face models of the study, and the faces that they were trained on."""

from __future__ import annotations

from vae_jax.data import Dataset, open_training_data
from vae_jax.errors import UserError
from vae_jax.models.face_vae import FaceVAE
from vae_jax.pretrained import Pretrained, load

from .classifier import require_attributes, require_faces


def load_face_model(run: str) -> Pretrained:
    """Load a run of ``face_vae``, whose pixels are in [0, 1].

    Raises:
        UserError: it is of another model, or of faces of a size that cannot be classified.
    """
    pretrained = load(run)
    if not isinstance(pretrained.model, FaceVAE):
        raise UserError(f"{run} is a run of {pretrained.name}; expected face_vae")
    require_faces(pretrained.image_shape)
    return pretrained


def open_runs(run: str, autoencoder: str | None) -> tuple[dict[str, Pretrained], Dataset]:
    """Load the models, by name, and open their training data.

    Raises:
        UserError: a run is not of faces, is no plain autoencoder, or the data lack attributes.
    """
    models = {"VAE": load_face_model(run)}
    recipe = models["VAE"].recipe
    if autoencoder is not None:
        models["AE"] = load_face_model(autoencoder)
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
    data = open_training_data(recipe, models["VAE"].image_shape)
    if data.test is None:
        raise UserError(f"{data.name} has no held-out images to try the classifier on")
    for split in (data.train, data.test):
        require_attributes(split.attributes, data.name)
    return models, data
