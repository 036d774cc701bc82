"""Posteriors over the latent space, and likelihoods of images.

A posterior has its divergence from the standard normal prior in nats. A likelihood has ``mean``
[B, H, W, C] (the decoded image), ``reconstruction_loss(x)`` [B] (the loss term of each example)
and ``unit`` (of that term); all but ``SquaredError`` have ``log_prob(x)`` [B] in nats, whose
negative is the reconstruction loss.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendices B (the divergence)
and C (Bernoulli and Gaussian decoders); the tutorials' loss functions for the rest.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import jax  # many of its functions have no full hints
import jax.numpy as jnp
import numpy as np

from vae_jax.layers.collectives import shard
from vae_jax.layers.kernels import materialize
from vae_jax.layers.sums import sum_axes
from vae_jax.typing import AnyArray, Image, Key, Latent, Noise, PerExample

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _reparameterize(self: GaussianPosterior, noise: Noise | None) -> Latent:
    """Return ``mean + std * noise`` for standard normal ``noise`` [B, L].

    Raises:
        ValueError: there is no noise, or of another shape, shared between examples.
    """
    if noise is None or noise.shape != self.mean.shape:
        found = None if noise is None else tuple(noise.shape)
        raise ValueError(f"noise of shape {found}; expected {tuple(self.mean.shape)}")
    return self.mean + self.std * noise


def _sample(self: GaussianPosterior, key: Key) -> Latent:
    """Return a draw, [B, L], from one PRNG key."""
    return self.reparameterize(jax.random.normal(key, self.mean.shape, self.mean.dtype))


class DiagonalGaussian(NamedTuple):
    """A Gaussian with a diagonal covariance: the posterior that an encoder returns.

    It is kept by its log standard deviation, so that the divergence never takes the logarithm of
    an exponential: ``log(exp(h))`` loses digits and overflows where ``h`` itself does not.

    Attributes:
        mean: [B, L].
        log_std: [B, L], natural logarithm of the standard deviation.
    """

    mean: Latent
    log_std: Latent

    @property
    def std(self) -> Latent:
        """Standard deviation, [B, L]."""
        return jnp.exp(self.log_std)

    reparameterize = _reparameterize
    sample = _sample

    def log_prob(self, z: Latent) -> PerExample:
        """Return the log density at ``z`` [B, L] in nats, [B]."""
        scaled = (z - self.mean) * jnp.exp(-self.log_std)
        return -(scaled**2 / 2 + self.log_std + _HALF_LOG_2PI).sum(axis=-1)

    def kl_divergence(self) -> PerExample:
        """Return KL(posterior || standard normal) of each example in nats, [B].

        Zero at mean 0 and std 1. (The tutorial's printed formula has ``log(std**2)``, and its
        prose puts the zero at std 0, mean 1; its code, which counts, is this.)
        """
        # exp(h) - 1 - h without the cancellation of exp(h) - 1.
        logvar = 2 * self.log_std
        return (jnp.expm1(logvar) - logvar + self.mean**2).sum(axis=-1) / 2


class SignedGaussian(NamedTuple):
    """A diagonal Gaussian whose encoder gives the standard deviation as it is, of either sign.

    The sign only mirrors the noise; the divergence and the density depend on the square. Where
    the head is exactly zero the divergence is infinite, as the original's.

    Attributes:
        mean: [B, L].
        std: [B, L], nonzero; its magnitude is the standard deviation.
    """

    mean: Latent
    std: Latent

    reparameterize = _reparameterize
    sample = _sample

    def log_prob(self, z: Latent) -> PerExample:
        """Return the log density at ``z`` [B, L] in nats, [B]."""
        scaled = (z - self.mean) / self.std
        return -(scaled**2 / 2 + jnp.log(jnp.abs(self.std)) + _HALF_LOG_2PI).sum(axis=-1)

    def kl_divergence(self) -> PerExample:
        """Return KL(posterior || standard normal) of each example in nats, [B]."""
        variance = self.std**2
        return 0.5 * (self.mean**2 + variance - jnp.log(variance) - 1).sum(axis=-1)


class Deterministic(NamedTuple):
    """The posterior of a plain autoencoder: all of it lies at one point.

    ``np.asarray(posterior)`` is that point, the latents.

    Attributes:
        mean: [B, L].
    """

    mean: Latent

    @property
    def std(self) -> Latent:
        """Standard deviation 0, [B, L]."""
        return jnp.zeros_like(self.mean)

    def reparameterize(self, noise: Noise | None = None) -> Latent:
        """Return the mean, whatever the noise."""
        return self.mean

    def sample(self, key: Key) -> Latent:
        """Return the mean, whatever the key."""
        return self.mean

    def kl_divergence(self) -> PerExample:
        """Return 0 for each example, [B]: the loss of a plain autoencoder has no such term."""
        return jnp.zeros_like(self.mean[:, 0])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.mean, dtype)


GaussianPosterior = DiagonalGaussian | SignedGaussian
Posterior = GaussianPosterior | Deterministic
"""What an encoder returns."""


def prior_log_prob(z: Latent) -> PerExample:
    """Return the log density of the prior, the standard normal, at ``z`` [B, L] in nats, [B]."""
    return -(z**2 / 2 + _HALF_LOG_2PI).sum(axis=-1)


def example_noise(
    key: Key, batch_size: int, latent_size: int, axis_name: str | None = None
) -> Noise:
    """Return standard normal noise [batch_size, latent_size], from one key per example.

    With ``axis_name``, under ``pmap``, only this device's rows of it are returned.
    """
    keys = shard(jax.random.split(key, batch_size), axis_name)
    return jax.vmap(partial(jax.random.normal, shape=(latent_size,)))(keys)


class SquaredError(NamedTuple):
    """The squared error of tutorials 001, 002 and 004, summed over an image: no likelihood.

    Up to a constant it is the negative log density of a Gaussian with variance 1/2.
    """

    mean: Image
    unit = "squared error"

    def reconstruction_loss(self, x: Image) -> PerExample:
        """Return the squared error summed over the pixels and channels of each image, [B]."""
        return squared_error(x, self.mean)


class Bernoulli(NamedTuple):
    """Independent Bernoulli pixels, kept by their logits: cross entropy without a logarithm of 0.

    For grey pixels between 0 and 1 this is the cross entropy, as is usual.
    """

    logits: Image
    unit = "nats"

    @property
    def mean(self) -> Image:
        """Probabilities of white."""
        return jax.nn.sigmoid(self.logits)

    def log_prob(self, x: Image) -> PerExample:
        """Return the log probability of images in [0, 1], nats, [B]."""
        h = self.logits
        nats = jnp.maximum(h, 0) - h * x + jnp.log1p(jnp.exp(-jnp.abs(h)))
        return -_pixel_sum(materialize(nats))

    def reconstruction_loss(self, x: Image) -> PerExample:
        """Return the cross entropy, nats, [B]."""
        return -self.log_prob(x)


class OffsetBernoulli(NamedTuple):
    """Bernoulli pixels with 1e-8 inside the logarithms, as tutorial 003's code.

    The offset is lost in float32, where 1e-8 + 1 is 1: a sigmoid of exactly 1 gives NaN, as the
    original does. ``Bernoulli`` is the sound form.
    """

    mean: Image
    unit = "nats"

    def log_prob(self, x: Image) -> PerExample:
        """Return the log probability of images in [0, 1], nats, [B]."""
        g = self.mean
        nats = x * jnp.log(1e-8 + g) + (1 - x) * jnp.log(1e-8 + 1 - g)
        return _pixel_sum(materialize(nats))

    def reconstruction_loss(self, x: Image) -> PerExample:
        """Return the cross entropy, nats, [B]."""
        return -self.log_prob(x)


class Gaussian(NamedTuple):
    """Independent Gaussian pixels with one standard deviation for all."""

    mean: Image
    log_std: AnyArray  # []
    unit = "nats"

    def log_prob(self, x: Image) -> PerExample:
        """Return the log density of images, nats, [B], in the units of the model's pixel range."""
        numbers = math.prod(self.mean.shape[1:])
        log_std = jnp.asarray(self.log_std)
        error = squared_error(x, self.mean) * jnp.exp(-2 * log_std) / 2
        return -error - numbers * (log_std + _HALF_LOG_2PI)

    def reconstruction_loss(self, x: Image) -> PerExample:
        """Return the negative log density, nats, [B]."""
        return -self.log_prob(x)


LikelihoodInNats = Bernoulli | OffsetBernoulli | Gaussian
Likelihood = SquaredError | LikelihoodInNats


def squared_error(x: Image, decoded: Image) -> PerExample:
    """Return the squared error summed over the pixels and channels of each image, [B]."""
    return _pixel_sum((decoded - x) ** 2)


def _pixel_sum(x: Image) -> PerExample:
    return sum_axes(x, 1, 3)
