"""What all models have in common: encode, choose a latent, decode, and refuse other shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn

from vae_jax.distributions import Likelihood, Posterior
from vae_jax.layers.kernels import Kernels
from vae_jax.typing import AnyArray, Image, Latent, Mask, Noise


class Autoencoder(nn.Module):
    """Base of the models, which define two methods:

    ``encode(x, *label, train, mask)``: the posterior over latents, or the latent [B, L] itself, of
    images [B, H, W, C] in the model's pixel range.

    ``observation(z, *label, train, mask)``: what the decoder says about the images of latents
    [B, L], a ``Likelihood``.

    ``kernels`` (see ``layers/kernels.py``), ``axis_name`` and ``batch_norm_groups`` (see
    ``BatchNorm``) are no hyperparameters: they say how the model's layers are computed, and are
    set with ``model.clone(axis_name="data")``.

    Every method is in eval mode unless ``train`` is set, and takes ``mask`` [B], 1 for the
    examples that count towards batch statistics. A model with ``num_classes`` takes the one-hot
    label [B, num_classes] as a second positional argument everywhere.
    """

    kernels: Kernels | None = None
    axis_name: str | None = None
    batch_norm_groups: int | None = None

    image_shape: ClassVar[tuple[int, int, int]]
    num_classes: ClassVar[int] = 0
    encode: ClassVar[Callable[..., Any]]
    observation: ClassVar[Callable[..., Likelihood]]

    def decode(
        self, z: Latent, *label: AnyArray, train: bool = False, mask: Mask | None = None
    ) -> Image:
        """Images [B, H, W, C] in the model's pixel range, of latents [B, L]."""
        return self.observation(z, *label, train=train, mask=mask).mean

    def forward(
        self,
        x: Image,
        *label: AnyArray,
        noise: Noise | None = None,
        train: bool = False,
        mask: Mask | None = None,
    ) -> tuple[Likelihood, Any]:
        """What the decoder says for one draw of the posterior, and the posterior."""
        encoded = self.encode(x, *label, train=train, mask=mask)
        z = encoded.reparameterize(noise) if isinstance(encoded, Posterior) else encoded
        return self.observation(z, *label, train=train, mask=mask), encoded

    def __call__(
        self,
        x: Image,
        *label: AnyArray,
        noise: Noise | None = None,
        train: bool = False,
        mask: Mask | None = None,
    ) -> tuple[Image, Any]:
        """Reconstructions of one draw of the posterior, and the posterior (or the latent)."""
        likelihood, encoded = self.forward(x, *label, noise=noise, train=train, mask=mask)
        return likelihood.mean, encoded


def require_images(x: AnyArray, image_shape: tuple[int, int, int]) -> None:
    """Raises ValueError unless ``x`` is [B, H, W, C] with the model's height, width, channels."""
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(image_shape):
        height, width, channels = image_shape
        raise ValueError(
            f"images of shape {tuple(x.shape)}; expected [B, {height}, {width}, {channels}] "
            "(channels last)"
        )


def require_latents(z: AnyArray, latent_size: int) -> None:
    """Raises ValueError unless ``z`` is [B, L]."""
    if z.ndim != 2 or z.shape[1] != latent_size:
        raise ValueError(f"latents of shape {tuple(z.shape)}; expected [B, {latent_size}]")


def require_labels(label: AnyArray, batch_size: int, num_classes: int) -> None:
    """Raises ValueError unless ``label`` is [B, classes], a row for each example."""
    if label.shape != (batch_size, num_classes):
        raise ValueError(
            f"labels of shape {tuple(label.shape)}; expected one-hot [{batch_size}, {num_classes}]"
        )
