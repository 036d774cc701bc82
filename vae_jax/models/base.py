"""The base class of the models, and the checks of their inputs' shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn

from vae_jax.distributions import Likelihood, Posterior
from vae_jax.layers.kernels import Kernels
from vae_jax.typing import AnyArray, Image, Latent, Mask, Noise, OneHot


class Autoencoder(nn.Module):
    """Base class of the models.

    A model defines ``posterior_of(x, label, train, mask)`` and ``likelihood_of(z, label, train,
    mask)``, which ``encode`` and ``image_likelihood`` call once they have checked the shapes.

    In all methods ``label`` is one-hot [B, num_classes], for a model with classes. ``train``
    switches to train mode, in which ``mask`` [B] is 1 for the examples that count towards batch
    statistics.

    Attributes:
        kernels: the kernels that compute the layers; None selects the backend's
            (``layers/kernels.py``).
        axis_name: the axis of devices under ``pmap``; None if the program sees the whole batch.
        batch_norm_groups: see ``BatchNorm``.

    These are not hyperparameters: they say how the layers are computed, and are set with
    ``model.clone(axis_name="data")``.
    """

    kernels: Kernels | None = None
    axis_name: str | None = None
    batch_norm_groups: int | None = None

    image_shape: ClassVar[tuple[int, int, int]]
    num_classes: ClassVar[int] = 0
    posterior_of: ClassVar[Callable[..., Posterior]]
    likelihood_of: ClassVar[Callable[..., Likelihood]]

    def encode(
        self,
        x: Image,
        label: OneHot | None = None,
        *,
        train: bool = False,
        mask: Mask | None = None,
    ) -> Posterior:
        """Return the posterior over latents of images [B, H, W, C] in the model's pixel range.

        Raises:
            ValueError: the images or labels have another shape, or a label is missing or not taken.
        """
        require_images(x, self.image_shape)
        require_label(label, len(x), self.num_classes)
        return self.posterior_of(x, label, train, mask)

    def image_likelihood(
        self,
        z: Latent,
        label: OneHot | None = None,
        *,
        train: bool = False,
        mask: Mask | None = None,
    ) -> Likelihood:
        """Return the likelihood of images [B, H, W, C] given latents [B, L].

        Raises:
            ValueError: the latents or labels have another shape, or a label is missing or not
                taken.
        """
        require_latents(z, self.latent_size)
        require_label(label, len(z), self.num_classes)
        return self.likelihood_of(z, label, train, mask)

    def decode(
        self,
        z: Latent,
        label: OneHot | None = None,
        *,
        train: bool = False,
        mask: Mask | None = None,
    ) -> Image:
        """Decode latents [B, L] into images [B, H, W, C] in the model's pixel range."""
        return self.image_likelihood(z, label, train=train, mask=mask).mean

    def forward(
        self,
        x: Image,
        label: OneHot | None = None,
        *,
        noise: Noise | None = None,
        train: bool = False,
        mask: Mask | None = None,
    ) -> tuple[Likelihood, Posterior]:
        """Return the likelihood of images given one draw of the posterior, and the posterior."""
        posterior = self.encode(x, label, train=train, mask=mask)
        z = posterior.reparameterize(noise)
        return self.image_likelihood(z, label, train=train, mask=mask), posterior

    def __call__(
        self,
        x: Image,
        label: OneHot | None = None,
        *,
        noise: Noise | None = None,
        train: bool = False,
        mask: Mask | None = None,
    ) -> tuple[Image, Posterior]:
        """Return images decoded from one draw of the posterior, and the posterior."""
        likelihood, posterior = self.forward(x, label, noise=noise, train=train, mask=mask)
        return likelihood.mean, posterior


def require_images(x: AnyArray, image_shape: tuple[int, int, int]) -> None:
    """Raise ValueError unless ``x`` is [B, H, W, C] with the model's height, width, channels."""
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(image_shape):
        height, width, channels = image_shape
        raise ValueError(
            f"images of shape {tuple(x.shape)}; expected [B, {height}, {width}, {channels}] "
            "(channels last)"
        )


def require_latents(z: AnyArray, latent_size: int) -> None:
    """Raise ValueError unless ``z`` is [B, L]."""
    if z.ndim != 2 or z.shape[1] != latent_size:
        raise ValueError(f"latents of shape {tuple(z.shape)}; expected [B, {latent_size}]")


def require_label(label: AnyArray | None, batch_size: int, num_classes: int) -> None:
    """Raise ValueError unless ``label`` is [B, classes], or None for a model without classes."""
    expected = (batch_size, num_classes) if num_classes else None
    found = None if label is None else tuple(label.shape)
    if found != expected:
        wanted = f"one-hot [{batch_size}, {num_classes}]" if num_classes else "no label"
        raise ValueError(f"labels of shape {found}; expected {wanted}")
