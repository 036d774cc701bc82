"""Distributions over the latent space, with their divergences in nats.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendix B.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.typing import Key, Latent, Noise, PerExample

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _reparameterize(self: Any, noise: Noise | None) -> Latent:
    """The point ``mean + std * noise`` for standard normal ``noise`` [B, L].

    Raises:
        ValueError: there is no noise, or of another shape, shared between examples.
    """
    if noise is None or noise.shape != self.mean.shape:
        found = None if noise is None else tuple(noise.shape)
        raise ValueError(f"noise of shape {found}; expected {tuple(self.mean.shape)}")
    return self.mean + self.std * noise


def _sample(self: Any, key: Key) -> Latent:
    """A draw, [B, L], from one PRNG key."""
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
        """Log density at ``z`` [B, L] in nats, [B]."""
        scaled = (z - self.mean) * jnp.exp(-self.log_std)
        return -(scaled**2 / 2 + self.log_std + _HALF_LOG_2PI).sum(axis=-1)

    def kl_divergence(self) -> PerExample:
        """KL(posterior || standard normal) in nats, one an example, [B].

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
        """Log density at ``z`` [B, L] in nats, [B]."""
        scaled = (z - self.mean) / self.std
        return -(scaled**2 / 2 + jnp.log(jnp.abs(self.std)) + _HALF_LOG_2PI).sum(axis=-1)

    def kl_divergence(self) -> PerExample:
        """KL(posterior || standard normal) in nats, one an example, [B]."""
        variance = self.std**2
        return 0.5 * (self.mean**2 + variance - jnp.log(variance) - 1).sum(axis=-1)


Posterior = DiagonalGaussian | SignedGaussian
"""What a variational encoder returns. Ask with ``isinstance``: arrays have a ``mean`` too."""


def central_latent(encoded: Posterior | Latent) -> Latent:
    """The point that stands for what ``encode`` returned: a posterior's mean, or the latent of a
    plain autoencoder itself."""
    return encoded.mean if isinstance(encoded, Posterior) else encoded


def prior_log_prob(z: Latent) -> PerExample:
    """Log density of the prior, the standard normal, at ``z`` [B, L] in nats, [B]."""
    return -(z**2 / 2 + _HALF_LOG_2PI).sum(axis=-1)
