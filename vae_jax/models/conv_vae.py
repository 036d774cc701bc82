"""``conv_vae``: the general convolutional VAE, for images of any size.

Source: tutorial 001. It fixes the parts and their names (``encoder``, ``fc_mu``, ``fc_logvar``,
``decoder``) and the loss, and leaves the layers open: "convolutions, then linear" and "linear, then
transposed convolutions". Here each width is a 3x3 convolution of stride 2, which halves an image,
rounding up; the decoder restores the exact size.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import flax.linen as nn  # its param has no full hints
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Bernoulli, DiagonalGaussian, Gaussian, SquaredError
from vae_jax.errors import UserError
from vae_jax.layers import BatchNorm, Conv, ConvTranspose, Dense
from vae_jax.models import pytorch_rules
from vae_jax.models.base import Autoencoder
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec, Reference, Rule
from vae_jax.typing import Features, Image, Latent, Mask, OneHot


class Encoder(nn.Module):
    """The encoder: a 3x3 convolution that halves the image and a ReLU for each width."""

    widths: tuple[int, ...]
    batch_norm: bool

    @nn.compact
    def __call__(self, x: Image, *, train: bool, mask: Mask | None) -> Features:
        """Map images [B, H, W, C] to features [B, F]."""
        for place, width in zip(_places(self, first=0), self.widths, strict=True):
            x = Conv(width, 3, stride=2, padding=1, name=f"encoder_{place}")(x)
            if self.batch_norm:
                x = BatchNorm(name=f"encoder_{place + 1}")(x, train=train, mask=mask)
            x = nn.relu(x)
        return x.reshape(x.shape[0], -1)


class Decoder(nn.Module):
    """The decoder: a dense layer, then transposed convolutions with the widths reversed."""

    widths: tuple[int, ...]
    batch_norm: bool
    image_shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, z: Latent, *, train: bool, mask: Mask | None) -> Image:
        """Map latents [B, L] to the logits of images [B, H, W, C]."""
        *larger, (height, width) = _sizes(self)
        x = nn.relu(Dense(height * width * self.widths[-1], name="decoder_0")(z))
        x = x.reshape(-1, height, width, self.widths[-1])
        outputs = [*reversed(self.widths[:-1]), self.image_shape[2]]
        for place, features, size in zip(
            _places(self, first=3), outputs, reversed(larger), strict=True
        ):
            # An even side doubles the previous one; an odd side is one less than that.
            extra = (1 - size[0] % 2, 1 - size[1] % 2)
            name = f"decoder_{place}"
            x = ConvTranspose(features, 3, stride=2, padding=1, output_padding=extra, name=name)(x)
            if place == _places(self, first=3)[-1]:
                break  # the last layer's outputs are logits
            if self.batch_norm:
                x = BatchNorm(name=f"decoder_{place + 1}")(x, train=train, mask=mask)
            x = nn.relu(x)
        return x


class ConvVAE(Autoencoder):
    """The convolutional VAE; images are in [0, 1].

    Attributes:
        image_shape: height, width and channels of the images, of any size.
        widths: channels after each convolution.
        latent_size: latent dimensions.
        likelihood: ``mse`` (the tutorial's squared error), ``bernoulli`` (its cross entropy)
            or ``gaussian``; the last two give a likelihood in nats.
        scale: the Gaussian likelihood's standard deviation, or its initial value if learned.
        learned_scale: make the Gaussian's standard deviation a parameter.
        batch_norm: add a batch norm after each convolution but the decoder's last.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)  # pyright: ignore[reportIncompatibleVariableOverride]
    widths: tuple[int, ...] = (32, 64)
    latent_size: int = 20
    likelihood: Literal["mse", "bernoulli", "gaussian"] = "mse"
    scale: float = 1.0
    learned_scale: bool = False
    batch_norm: bool = False

    def setup(self):
        """Create the layers, named by their index in the reference's ``Sequential`` parts."""
        self.encoder = Encoder(self.widths, self.batch_norm)
        self.fc_mu = Dense(self.latent_size)
        self.fc_logvar = Dense(self.latent_size)
        self.decoder = Decoder(self.widths, self.batch_norm, self.image_shape)
        for part in (self.encoder, self.decoder):
            nn.share_scope(self, part)
        if self.learned_scale:
            start = nn.initializers.constant(math.log(self.scale))
            self.log_scale = self.param("log_scale", start, (), jnp.float32)

    def posterior_of(
        self, x: Image, label: OneHot | None, train: bool, mask: Mask | None
    ) -> DiagonalGaussian:
        """Return the posterior over latents of images [B, H, W, C] in [0, 1]."""
        features = self.encoder(x, train=train, mask=mask)
        return DiagonalGaussian(mean=self.fc_mu(features), log_std=self.fc_logvar(features) / 2)

    def likelihood_of(
        self, z: Latent, label: OneHot | None, train: bool, mask: Mask | None
    ) -> SquaredError | Bernoulli | Gaussian:
        """Return the likelihood of images [B, H, W, C] given latents [B, L]."""
        logits = self.decoder(z, train=train, mask=mask)
        if self.likelihood == "bernoulli":
            return Bernoulli(logits)
        image = nn.sigmoid(logits)
        if self.likelihood == "mse":
            return SquaredError(image)
        log_std = self.log_scale if self.learned_scale else math.log(self.scale)
        return Gaussian(image, jnp.asarray(log_std, image.dtype))


_MAX_LAYERS = 64  # in a file: each takes time to trace, and 64 halvings outlast any image


def _places(model: Encoder | Decoder | ConvVAE, first: int) -> range:
    """Return the indices of the convolutions in one of the reference's ``Sequential`` parts.

    A ReLU, and a batch norm if there is one, separates two convolutions. The decoder's first has
    index 3, after a linear layer, its ReLU and the ``Unflatten``.
    """
    step = 3 if model.batch_norm else 2
    return range(first, first + step * len(model.widths), step)


def _sizes(model: Decoder | ConvVAE) -> list[tuple[int, int]]:
    """Return height and width of the image and after each convolution."""
    sizes = [model.image_shape[:2]]
    for _ in model.widths:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _rules(model: ConvVAE) -> tuple[Rule, ...]:
    conv, norm, linear = pytorch_rules.conv, pytorch_rules.batch_norm, pytorch_rules.linear
    block = (model.widths[-1], *_sizes(model)[-1])

    def convolutions(part: str, first: int) -> list[Rule]:
        rules: list[Rule] = []
        for place in _places(model, first):
            rules += conv(f"{part}.{place}", (f"{part}_{place}",))
            if model.batch_norm and (part == "encoder" or place != _places(model, first)[-1]):
                rules += norm(f"{part}.{place + 1}", (f"{part}_{place + 1}",))
        return rules

    return (
        *([Rule("log_scale", ("params", "log_scale"))] if model.learned_scale else []),
        *convolutions("encoder", 0),
        *linear("fc_mu", ("fc_mu",), flat_input=block),
        *linear("fc_logvar", ("fc_logvar",), flat_input=block),
        *linear("decoder.0", ("decoder_0",), flat_output=block),
        *convolutions("decoder", 3),
    )


def _infer(tensors: Mapping[str, np.ndarray]) -> dict[str, object]:
    """Return the hyperparameters that a checkpoint's names and shapes determine."""
    places = sorted(
        int(match[1])
        for name, array in tensors.items()
        if (match := re.fullmatch(r"encoder\.(\d{1,4})\.weight", name)) and array.ndim == 4
    )
    if not 0 < len(places) <= _MAX_LAYERS or "fc_mu.bias" not in tensors:
        return {}
    found: dict[str, object] = {
        "widths": tuple(len(tensors[f"encoder.{p}.weight"]) for p in places),
        "latent_size": tensors["fc_mu.bias"].size,
        "batch_norm": any(name.endswith(".running_mean") for name in tensors),
    }
    if "log_scale" in tensors:
        found |= {"likelihood": "gaussian", "learned_scale": True}
    return found


def _undetermined(known: Mapping[str, object]) -> tuple[str, ...]:
    fixed = known.get("likelihood") == "gaussian" and not known.get("learned_scale")
    return ("image_shape", "likelihood", *(["scale"] if fixed else []))


def _check(model: ConvVAE) -> None:
    if model.learned_scale and model.likelihood != "gaussian":
        raise UserError(
            f"conv_vae's learned_scale is of the gaussian likelihood, not of "
            f"{model.likelihood}; add likelihood=gaussian"
        )


SPEC = ModelSpec(
    name="conv_vae",
    summary="general convolutional VAE, images of any size",
    module=ConvVAE,
    reference=Reference(
        framework="PyTorch",
        tutorial="001",
        checkpoint="state dict",
        heads=("fc_mu", "fc_logvar"),
        infer=_infer,
        undetermined=_undetermined,
    ),
    recipe=Recipe(
        data="digits",
        epochs=10,
        batch_size=64,
        learning_rate=1e-3,
        reduction="mean",
        epoch_loss="mean",
    ),
    rules=_rules,
    variational=True,
    check=_check,
)
