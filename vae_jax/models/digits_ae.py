"""``digits_ae``: the MLP autoencoder of handwritten digits, 784-200-20-200-784.

Source: tutorial 002, section 7.2 (listings 7.1 to 7.3). Its prose names absolute and mean squared
error; its code, ported here, sums squares over batch and pixels.
"""

from __future__ import annotations

import math
from typing import ClassVar

import flax.linen as nn

from vae_jax.distributions import Deterministic, SquaredError
from vae_jax.layers import Dense
from vae_jax.models import pytorch_rules
from vae_jax.models.base import Autoencoder
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec, Reference
from vae_jax.typing import Image, Latent, Mask, OneHot


class DigitsAE(Autoencoder):
    """The MLP autoencoder: the reference's ``AE(784, latent_size, hidden_size)``."""

    latent_size: int = 20
    hidden_size: int = 200
    image_shape: ClassVar[tuple[int, int, int]] = (28, 28, 1)

    def setup(self):
        """Create the layers under the reference's names."""
        self.common = Dense(self.hidden_size)
        self.encoded = Dense(self.latent_size)
        self.l1 = Dense(self.hidden_size)
        self.decode_layer = Dense(math.prod(self.image_shape), name="decode")

    def posterior_of(
        self, x: Image, label: OneHot | None, train: bool, mask: Mask | None
    ) -> Deterministic:
        """Return the latents [B, L] of images [B, 28, 28, 1] in [0, 1]."""
        x = x.reshape(x.shape[0], -1)
        return Deterministic(self.encoded(nn.relu(self.common(x))))

    def likelihood_of(
        self, z: Latent, label: OneHot | None, train: bool, mask: Mask | None
    ) -> SquaredError:
        """Return the likelihood of images [B, 28, 28, 1] given latents [B, L]."""
        x = nn.sigmoid(self.decode_layer(nn.relu(self.l1(z))))
        return SquaredError(x.reshape(-1, *self.image_shape))


_LAYERS = ("common", "encoded", "l1", "decode")

SPEC = ModelSpec(
    name="digits_ae",
    summary="MLP autoencoder, 28x28 digits, 20 latents",
    module=DigitsAE,
    reference=Reference(
        framework="PyTorch",
        tutorial="002, section 7.2",
        checkpoint="AEdigits.pt (TorchScript)",
        heads=("encoded",),
        sizes={"latent_size": "encoded.bias", "hidden_size": "common.bias"},
    ),
    recipe=Recipe(data="digits", epochs=10, batch_size=32, learning_rate=2.5e-4, epoch_loss="mean"),
    rules=lambda model: sum((pytorch_rules.linear(n, (n,)) for n in _LAYERS), ()),
    variational=False,
    epoch_figure="reconstructions",
)
