"""The table of models. To add one, write a file in this folder and list it here."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from functools import partial
from typing import cast

import flax.traverse_util
import jax  # many of its functions have no full hints
import jax.numpy as jnp

from vae_jax.errors import UserError, did_you_mean
from vae_jax.models import conv_vae, digits_ae, digits_cvae, digits_vae, face_vae, stddev_vae
from vae_jax.models.base import Autoencoder
from vae_jax.models.hyper import parse_hyperparameters
from vae_jax.spec import ModelSpec
from vae_jax.typing import Key, Variables

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        digits_ae.SPEC,
        face_vae.SPEC,
        conv_vae.SPEC,
        stddev_vae.SPEC,
        digits_vae.SPEC,
        digits_cvae.SPEC,
    )
}
"""Specifications by name, in the order of the tutorials."""


def get_spec(name: str) -> ModelSpec:
    """Return a model's specification.

    Raises:
        UserError: there is no such model; the message suggests names.
    """
    if name not in MODELS:
        raise UserError(f"there is no model {name!r}; {did_you_mean(name, MODELS)}")
    return MODELS[name]


def create_model(name: str, **hyper: object) -> Autoencoder:
    """Create a model's Flax module.

    Args:
        name: one of ``MODELS``.
        **hyper: hyperparameters that differ from the reference's, such as ``latent_size=25``.

    Raises:
        UserError: an unknown model, or a hyperparameter that it does not have.

    Example:
        >>> create_model("digits_ae").latent_size
        20
    """
    spec = get_spec(name)
    model: Autoencoder = spec.module(**parse_hyperparameters(spec, hyper))
    spec.check(model)
    return model


@partial(jax.jit, static_argnums=0)  # at module level, so that equal models share one compilation
def init_variables(model: Autoencoder, key: Key) -> Variables:
    """Draw a model's variables from the reference framework's initial distributions."""
    image = jnp.zeros((1, *model.image_shape), jnp.float32)
    label = jnp.zeros((1, model.num_classes), jnp.float32) if model.num_classes else None
    noise = jnp.zeros((1, model.latent_size), jnp.float32)
    return dict(model.init(key, image, label, noise=noise))


def has_convolutions(model: Autoencoder) -> bool:
    """Return True if the model has a convolution."""
    return any(len(shape) == 4 for shape in variable_shapes(model).values())


def variable_shapes(model: Autoencoder) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Return the shape of every variable by its path, as Flax would create it."""
    tree = jax.eval_shape(lambda: cast(Variables, init_variables(model, jax.random.key(0))))
    flat = cast(dict[tuple[str, ...], jax.ShapeDtypeStruct], flax.traverse_util.flatten_dict(tree))
    return {path: leaf.shape for path, leaf in flat.items()}
