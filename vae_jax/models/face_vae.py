"""``face_vae``: the convolutional VAE of 256x256 faces with 100 latents.

Source: tutorials 000 and 002, section 7.4 (listings 7.4 to 7.6). ``linear3`` is the log of the
standard deviation, contrary to the printed formula.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn

from vae_jax.distributions import DiagonalGaussian, SquaredError
from vae_jax.layers import BatchNorm, Conv, ConvTranspose, Dense
from vae_jax.models import pytorch_rules
from vae_jax.models.base import Autoencoder
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec, Reference, Rule
from vae_jax.typing import Image, Latent, Mask, OneHot

_FLAT = (32, 31, 31)  # channels, height, width where convolutions meet dense layers


class Encoder(nn.Module):
    """The encoder: 256 -> 128 -> 64 -> 31, then dense."""

    latent_size: int

    def setup(self):
        """Create the layers under the reference's names."""
        self.conv1 = Conv(8, 3, stride=2, padding=1)
        self.conv2 = Conv(16, 3, stride=2, padding=1)
        self.batch2 = BatchNorm()
        self.conv3 = Conv(32, 3, stride=2, padding=0)
        self.linear1 = Dense(1024)
        self.linear2 = Dense(self.latent_size)
        self.linear3 = Dense(self.latent_size)

    def __call__(self, x: Image, *, train: bool, mask: Mask | None) -> DiagonalGaussian:
        """Return the posterior of images [B, 256, 256, 3] in [0, 1]."""
        x = nn.relu(self.conv1(x))
        x = nn.relu(self.batch2(self.conv2(x), train=train, mask=mask))
        x = nn.relu(self.conv3(x))
        x = nn.relu(self.linear1(x.reshape(x.shape[0], -1)))
        return DiagonalGaussian(mean=self.linear2(x), log_std=self.linear3(x))


class Decoder(nn.Module):
    """The decoder: dense, then 31 -> 64 -> 128 -> 256."""

    def setup(self):
        """Create the layers, numbered as in the reference's ``Sequential`` parts."""
        channels, height, width = _FLAT
        self.decoder_lin_0 = Dense(1024)
        self.decoder_lin_2 = Dense(channels * height * width)
        self.decoder_conv_0 = ConvTranspose(16, 3, stride=2, output_padding=1)
        self.decoder_conv_1 = BatchNorm()
        self.decoder_conv_3 = ConvTranspose(8, 3, stride=2, padding=1, output_padding=1)
        self.decoder_conv_4 = BatchNorm()
        self.decoder_conv_6 = ConvTranspose(3, 3, stride=2, padding=1, output_padding=1)

    def __call__(self, z: Latent, *, train: bool, mask: Mask | None) -> Image:
        """Map latents [B, L] to images [B, 256, 256, 3] in [0, 1]."""
        channels, height, width = _FLAT
        x = nn.relu(self.decoder_lin_2(nn.relu(self.decoder_lin_0(z))))
        x = self.decoder_conv_0(x.reshape(-1, height, width, channels))
        x = nn.relu(self.decoder_conv_1(x, train=train, mask=mask))
        x = nn.relu(self.decoder_conv_4(self.decoder_conv_3(x), train=train, mask=mask))
        return nn.sigmoid(self.decoder_conv_6(x))


class FaceVAE(Autoencoder):
    """The convolutional VAE of faces: the reference's ``VAE(latent_size)``."""

    latent_size: int = 100
    image_shape: ClassVar[tuple[int, int, int]] = (256, 256, 3)

    def setup(self):
        """Create the two parts under the reference's names."""
        self.encoder = Encoder(self.latent_size)
        self.decoder = Decoder()

    def posterior_of(
        self, x: Image, label: OneHot | None, train: bool, mask: Mask | None
    ) -> DiagonalGaussian:
        """Return the posterior over latents of images [B, 256, 256, 3] in [0, 1]."""
        return self.encoder(x, train=train, mask=mask)

    def likelihood_of(
        self, z: Latent, label: OneHot | None, train: bool, mask: Mask | None
    ) -> SquaredError:
        """Return the likelihood of images [B, 256, 256, 3] given latents [B, L]."""
        return SquaredError(self.decoder(z, train=train, mask=mask))


def _rules(model: FaceVAE) -> tuple[Rule, ...]:
    # An export keeps this order, which is that of the reference's state dict.
    enc, dec = "encoder", "decoder"
    return (
        *pytorch_rules.conv("encoder.conv1", (enc, "conv1")),
        *pytorch_rules.conv("encoder.conv2", (enc, "conv2")),
        *pytorch_rules.batch_norm("encoder.batch2", (enc, "batch2")),
        *pytorch_rules.conv("encoder.conv3", (enc, "conv3")),
        *pytorch_rules.linear("encoder.linear1", (enc, "linear1"), flat_input=_FLAT),
        *pytorch_rules.linear("encoder.linear2", (enc, "linear2")),
        *pytorch_rules.linear("encoder.linear3", (enc, "linear3")),
        *pytorch_rules.linear("decoder.decoder_lin.0", (dec, "decoder_lin_0")),
        *pytorch_rules.linear("decoder.decoder_lin.2", (dec, "decoder_lin_2"), flat_output=_FLAT),
        *pytorch_rules.conv("decoder.decoder_conv.0", (dec, "decoder_conv_0")),
        *pytorch_rules.batch_norm("decoder.decoder_conv.1", (dec, "decoder_conv_1")),
        *pytorch_rules.conv("decoder.decoder_conv.3", (dec, "decoder_conv_3")),
        *pytorch_rules.batch_norm("decoder.decoder_conv.4", (dec, "decoder_conv_4")),
        *pytorch_rules.conv("decoder.decoder_conv.6", (dec, "decoder_conv_6")),
    )


SPEC = ModelSpec(
    name="face_vae",
    summary="convolutional VAE, 256x256 faces, 100 latents",
    module=FaceVAE,
    reference=Reference(
        framework="PyTorch",
        tutorial="000 and 002, section 7.4",
        checkpoint="VAEglasses.pth (state dict)",
        heads=("encoder.linear2", "encoder.linear3"),
        sizes={"latent_size": "encoder.linear2.bias"},
    ),
    recipe=Recipe(data="faces", epochs=10, batch_size=16, learning_rate=1e-4, weight_decay=1e-5),
    rules=_rules,
    variational=True,
)
