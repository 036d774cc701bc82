"""``stddev_vae``: the 5x5 convolutional VAE of digits whose head is a raw standard deviation.

Source: tutorial 003 and the code that it links. Three peculiarities of that code are kept: the head
may be negative (only its square enters the divergence), the biases of the transposed convolutions
are variables that are never added, and the likelihood has 1e-8 inside its logarithms.
"""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn

from vae_jax.distributions import Bernoulli, OffsetBernoulli, SignedGaussian
from vae_jax.layers import Conv, ConvTranspose, Dense
from vae_jax.layers.initializers import TENSORFLOW_CONV, TENSORFLOW_DENSE
from vae_jax.models.base import Autoencoder
from vae_jax.recipe import Recipe
from vae_jax.spec import Ignored, ModelSpec, Reference, Rule
from vae_jax.typing import Image, Latent, Mask, OneHot

_MAP = (7, 7, 32)  # height, width, channels where convolutions meet dense layers
# A checkpoint holds these beside the weights, under any scopes.
_PARAMETER = r"(.+/)?(recognition|generation)/\w+/(w|b|Matrix|bias)"
_COUNTERS = r"((global|local|train|current|cur|good)_?)?(step|epoch|iteration|iter)s?(_tensor)?"
_SETTINGS = r"((base|initial|init|current)_)?(learning_rate|lr|momentum|loss_scale)(_var)?"
_NEVER_ADDED = "kept for export; the original never adds it"


class Recognition(nn.Module):
    """The encoder: 28 -> 14 -> 7, then dense."""

    latent_size: int

    def setup(self):
        """Create the layers under the names of the reference's scopes."""
        self.d_h1 = Conv(16, 5, 2, "SAME", initialization=TENSORFLOW_CONV)
        self.d_h2 = Conv(32, 5, 2, "SAME", initialization=TENSORFLOW_CONV)
        self.w_mean = Dense(self.latent_size, initialization=TENSORFLOW_DENSE)
        self.w_stddev = Dense(self.latent_size, initialization=TENSORFLOW_DENSE)

    def __call__(self, x: Image) -> SignedGaussian:
        """Return the posterior of images [B, 28, 28, 1] in [0, 1]."""
        x = nn.leaky_relu(self.d_h1(x), 0.2)
        x = nn.leaky_relu(self.d_h2(x), 0.2).reshape(x.shape[0], -1)
        return SignedGaussian(mean=self.w_mean(x), std=self.w_stddev(x))


class Generation(nn.Module):
    """The decoder: dense, then 7 -> 14 -> 28."""

    def setup(self):
        """Create the layers under the names of the reference's scopes."""
        height, width, channels = _MAP
        self.z_matrix = Dense(height * width * channels, initialization=TENSORFLOW_DENSE)
        self.g_h1, self.g_h2 = (
            ConvTranspose(n, 5, 2, "SAME", initialization=TENSORFLOW_CONV, adds_bias=False)
            for n in (16, 1)
        )

    def __call__(self, z: Latent) -> Image:
        """Map latents [B, L] to the logits of images [B, 28, 28, 1]."""
        x = nn.relu(self.z_matrix(z)).reshape(-1, *_MAP)
        return self.g_h2(nn.relu(self.g_h1(x)))


class StddevVAE(Autoencoder):
    """The VAE with a raw standard deviation.

    Attributes:
        latent_size: latent dimensions.
        sound_likelihood: compute the cross entropy from the logits, without the 1e-8.
    """

    latent_size: int = 20
    sound_likelihood: bool = False
    image_shape: ClassVar[tuple[int, int, int]] = (28, 28, 1)

    def setup(self):
        """Create the two parts under the names of the reference's scopes."""
        self.recognition = Recognition(self.latent_size)
        self.generation = Generation()

    def posterior_of(
        self, x: Image, label: OneHot | None, train: bool, mask: Mask | None
    ) -> SignedGaussian:
        """Return the posterior over latents of images [B, 28, 28, 1] in [0, 1]."""
        return self.recognition(x)

    def likelihood_of(
        self, z: Latent, label: OneHot | None, train: bool, mask: Mask | None
    ) -> OffsetBernoulli | Bernoulli:
        """Return the likelihood of images [B, 28, 28, 1] given latents [B, L]."""
        logits = self.generation(z)
        return Bernoulli(logits) if self.sound_likelihood else OffsetBernoulli(nn.sigmoid(logits))


def _rules(model: StddevVAE) -> tuple[Rule, ...]:
    # TensorFlow is channels last too, so no rule permutes axes.
    names = {
        ("recognition", "d_h1"): ("w", "b"),
        ("recognition", "d_h2"): ("w", "b"),
        ("recognition", "w_mean"): ("Matrix", "bias"),
        ("recognition", "w_stddev"): ("Matrix", "bias"),
        ("generation", "z_matrix"): ("Matrix", "bias"),
        ("generation", "g_h1"): ("w", "b"),
        ("generation", "g_h2"): ("w", "b"),
    }
    rules: list[Rule] = []
    for (part, layer), (kernel, bias) in names.items():
        note = _NEVER_ADDED if layer.startswith("g_h") else ""
        rules.append(Rule(f"{part}/{layer}/{kernel}", ("params", part, layer, "kernel")))
        rules.append(Rule(f"{part}/{layer}/{bias}", ("params", part, layer, "bias"), note=note))
    return tuple(rules)


SPEC = ModelSpec(
    name="stddev_vae",
    summary="5x5 convolutional VAE, 28x28 digits, 20 latents, raw standard deviation",
    module=StddevVAE,
    reference=Reference(
        framework="TensorFlow",
        tutorial="003, and the code it links",
        checkpoint="train-9 (TensorFlow 1 Saver)",
        heads=("recognition/w_mean", "recognition/w_stddev"),
        sizes={"latent_size": "recognition/w_mean/bias"},
        ignored=(
            Ignored(rf"{_PARAMETER}/[^/]+", "a slot of the original's optimiser, or an average"),
            Ignored(rf"{_PARAMETER}/ExponentialMovingAverage(/.+)?", "an average of the weights"),
            Ignored(rf"{_PARAMETER}/Adam(_\d+)?", "a moment of the original's Adam"),
            Ignored(r"(.+/)?beta[12]_power(_\d+)?", "a counter of the original's Adam"),
            Ignored(rf"(.+/)?({_COUNTERS})(_\d+)?", "a count of the original's steps or epochs"),
            Ignored(rf"(.+/)?({_SETTINGS})(_\d+)?", "a setting of the original's training"),
        ),
    ),
    recipe=Recipe(
        data="digits",
        epochs=10,
        batch_size=100,
        learning_rate=1e-3,
        epsilon_scaling="tensorflow",
        reduction="mean",
        epoch_loss="mean",
        drop_remainder=True,
    ),
    rules=_rules,
    variational=True,
)
