"""``digits_vae``: the convolutional VAE of digits with 2 latents.

Source: tutorial 004, part 1. Its dense layers are 1x1 convolutions of 1x1 images; checkpoints
keep their names and shapes. Images are in [-1, 1].
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from vae_jax.distributions import DiagonalGaussian, SquaredError
from vae_jax.layers import Conv, ConvTranspose, Dense
from vae_jax.layers.initializers import PADDLE_CONV, PADDLE_CONV_TRANSPOSE
from vae_jax.models import pytorch_rules
from vae_jax.models.base import Autoencoder
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec, Reference, Rule
from vae_jax.typing import Image, Latent, Mask, OneHot

IMAGE_SHAPE = (28, 28, 1)
_SIDE = 7  # of the smallest feature map


class Encoder(nn.Module):
    """The encoder: 28 -> 14 -> 7, then dense.

    Labels, for ``digits_cvae``, become a second channel of the image.
    """

    latent_size: int
    channels: int

    def setup(self):
        """Create the layers under the reference's names."""
        self.conv_label = Dense(math.prod(IMAGE_SHAPE), initialization=PADDLE_CONV)
        self.conv1 = Conv(self.channels, 4, 2, 1, initialization=PADDLE_CONV)
        self.conv2 = Conv(2 * self.channels, 4, 2, 1, initialization=PADDLE_CONV)
        self.conv_mean = Dense(self.latent_size, initialization=PADDLE_CONV)
        self.conv_logvar = Dense(self.latent_size, initialization=PADDLE_CONV)

    def __call__(self, x: Image, label: OneHot | None = None) -> DiagonalGaussian:
        """Return the posterior of images [B, 28, 28, 1] in [-1, 1]."""
        if label is not None:
            channel = self.conv_label(label).reshape(-1, *IMAGE_SHAPE)
            x = jnp.concatenate([x, channel], axis=-1)
        x = nn.leaky_relu(self.conv1(x))
        x = nn.leaky_relu(self.conv2(x)).reshape(x.shape[0], -1)
        return DiagonalGaussian(mean=self.conv_mean(x), log_std=self.conv_logvar(x) / 2)


class Decoder(nn.Module):
    """The decoder: dense, then 7 -> 14 -> 28."""

    channels: int

    def setup(self):
        """Create the layers under the reference's names."""
        self.conv1 = Dense(_SIDE * _SIDE * self.channels, initialization=PADDLE_CONV)
        self.conv2 = ConvTranspose(2 * self.channels, 4, 2, 1, initialization=PADDLE_CONV_TRANSPOSE)
        self.conv3 = ConvTranspose(self.channels, 4, 2, 1, initialization=PADDLE_CONV_TRANSPOSE)
        self.conv4 = Conv(1, 3, padding=1, initialization=PADDLE_CONV)

    def __call__(self, z: Latent) -> Image:
        """Map latents [B, L], or latents and labels, to images [B, 28, 28, 1] in [-1, 1]."""
        x = nn.leaky_relu(self.conv1(z)).reshape(-1, _SIDE, _SIDE, self.channels)
        x = nn.leaky_relu(self.conv2(x))
        x = nn.leaky_relu(self.conv3(x))
        return nn.tanh(self.conv4(x))


class DigitsVAE(Autoencoder):
    """The convolutional VAE of digits: the reference's ``Encoder`` and ``Decoder`` together."""

    latent_size: int = 2
    channels: int = 32
    image_shape: ClassVar[tuple[int, int, int]] = IMAGE_SHAPE

    def setup(self):
        """Create the two parts, which the reference saves in separate files."""
        self.encoder = Encoder(self.latent_size, self.channels)
        self.decoder = Decoder(self.channels)

    def posterior_of(
        self, x: Image, label: OneHot | None, train: bool, mask: Mask | None
    ) -> DiagonalGaussian:
        """Return the posterior over latents of images [B, 28, 28, 1] in [-1, 1]."""
        return self.encoder(x)

    def likelihood_of(
        self, z: Latent, label: OneHot | None, train: bool, mask: Mask | None
    ) -> SquaredError:
        """Return the likelihood of images [B, 28, 28, 1] given latents [B, L]."""
        return SquaredError(self.decoder(z))


def rules(model: Any) -> tuple[Rule, ...]:
    """Return the rules in the order of the reference's state dicts; Paddle's axes are PyTorch's."""
    conv, dense = pytorch_rules.conv, pytorch_rules.conv_as_dense
    enc, dec = "encoder", "decoder"
    flat_input, flat_output = ((n * model.channels, _SIDE, _SIDE) for n in (2, 1))
    return (
        *conv("encoder.conv1", (enc, "conv1")),
        *conv("encoder.conv2", (enc, "conv2")),
        *dense("encoder.conv_mean", (enc, "conv_mean"), flat_input=flat_input),
        *dense("encoder.conv_logvar", (enc, "conv_logvar"), flat_input=flat_input),
        *dense("decoder.conv1", (dec, "conv1"), flat_output=flat_output),
        *conv("decoder.conv2", (dec, "conv2")),
        *conv("decoder.conv3", (dec, "conv3")),
        *conv("decoder.conv4", (dec, "conv4")),
    )


HEADS = ("encoder.conv_mean", "encoder.conv_logvar")
SIZES = {"latent_size": "encoder.conv_mean.bias", "channels": "encoder.conv1.bias"}
RECIPE = Recipe(
    data="digits",
    epochs=100,
    batch_size=64,
    learning_rate=1e-4,
    beta1=0.5,
    reduction="mean",
    epoch_loss="mean",
    drop_remainder=True,
)

SPEC = ModelSpec(
    name="digits_vae",
    summary="convolutional VAE, 28x28 digits, 2 latents",
    module=DigitsVAE,
    reference=Reference(
        framework="Paddle",
        tutorial="004, part 1",
        checkpoint="A_encoder_False.pdparams and A_decoder_False.pdparams",
        heads=HEADS,
        sizes=SIZES,
        parts=("encoder", "decoder"),
    ),
    recipe=RECIPE,
    rules=rules,
    variational=True,
    pixel_range=(-1.0, 1.0),
    epoch_figure="sample table",
)
