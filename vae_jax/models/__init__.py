"""The table of models. Adding one is a file beside this and a line here."""

from __future__ import annotations

import numbers
from typing import Any

import flax.linen as nn

from vae_jax.errors import UserError
from vae_jax.models import digits_ae, face_vae
from vae_jax.spec import ModelSpec

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        digits_ae.SPEC,
        face_vae.SPEC,
    )
}
"""Name to specification, in the order of the tutorials."""


def get_spec(name: str) -> ModelSpec:
    """The model's line of the table; raises UserError that lists the names."""
    if name not in MODELS:
        raise UserError(f"there is no model {name!r}; the models are {', '.join(MODELS)}")
    return MODELS[name]


def create_model(name: str, **hyper: Any) -> nn.Module:
    """The Flax module of a model.

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
    known = spec.hyperparameters()
    for key, value in hyper.items():
        if key not in known:
            raise UserError(
                f"{name} has no hyperparameter {key!r}; it has {', '.join(known) or 'none'}"
            )
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise UserError(
                f"{name}'s {key} is {value!r}; expected a whole number above 0, such as its "
                f"default {known[key]}"
            )
    return spec.module(**{key: int(value) for key, value in hyper.items()})
