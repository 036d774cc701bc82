"""``digits_cvae``: ``digits_vae`` conditioned on the digit's class.

Source: tutorial 004, part 2. The encoder maps the one-hot label to a second channel of the image,
and the decoder takes it with the latent.
"""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from vae_jax.distributions import DiagonalGaussian, SquaredError
from vae_jax.models import digits_vae, pytorch_rules
from vae_jax.models.base import Autoencoder
from vae_jax.spec import ModelSpec, Reference, Rule
from vae_jax.typing import Image, Latent, Mask, OneHot


class DigitsCVAE(Autoencoder):
    """The conditional VAE of digits."""

    latent_size: int = 2
    channels: int = 32
    image_shape: ClassVar[tuple[int, int, int]] = digits_vae.IMAGE_SHAPE
    num_classes: ClassVar[int] = 10

    def setup(self):
        """Create the two parts, which the reference saves in separate files."""
        self.encoder = digits_vae.Encoder(self.latent_size, self.channels)
        self.decoder = digits_vae.Decoder(self.channels)

    def posterior_of(
        self, x: Image, label: OneHot | None, train: bool, mask: Mask | None
    ) -> DiagonalGaussian:
        """Return the posterior of images [B, 28, 28, 1] in [-1, 1] with labels [B, 10]."""
        return self.encoder(x, label)

    def likelihood_of(
        self, z: Latent, label: OneHot | None, train: bool, mask: Mask | None
    ) -> SquaredError:
        """Return the likelihood of images [B, 28, 28, 1] given latents [B, L], labels [B, 10]."""
        assert label is not None  # require_label has checked it
        return SquaredError(self.decoder(jnp.concatenate([z, label], axis=-1)))


def _rules(model: DigitsCVAE) -> tuple[Rule, ...]:
    return (
        *pytorch_rules.conv_as_dense("encoder.conv_label", ("encoder", "conv_label")),
        *digits_vae.rules(model),
    )


SPEC = ModelSpec(
    name="digits_cvae",
    summary="convolutional VAE told the digit, 28x28 digits, 2 latents",
    module=DigitsCVAE,
    reference=Reference(
        framework="Paddle",
        tutorial="004, part 2",
        checkpoint="D_encoder_True.pdparams and D_decoder_True.pdparams",
        heads=digits_vae.HEADS,
        sizes=digits_vae.SIZES,
        parts=("encoder", "decoder"),
    ),
    recipe=digits_vae.RECIPE,
    rules=_rules,
    variational=True,
    pixel_range=(-1.0, 1.0),
    epoch_figure="sample table",
)
