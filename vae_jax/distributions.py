"""Distributions over the latent space, with their divergences in nats.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendix B.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.typing import Key, Latent, Noise, PerExample


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

    def reparameterize(self, noise: Noise) -> Latent:
        """The point ``mean + std * noise`` for standard normal ``noise`` [B, L].

        Raises:
            ValueError: the noise has another shape, and would be shared between examples.
        """
        if noise is None or noise.shape != self.mean.shape:
            found = None if noise is None else tuple(noise.shape)
            raise ValueError(f"noise of shape {found}; expected {tuple(self.mean.shape)}")
        return self.mean + self.std * noise

    def sample(self, key: Key) -> Latent:
        """A draw, [B, L], from one PRNG key."""
        return self.reparameterize(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def kl_divergence(self) -> PerExample:
        """KL(posterior || standard normal) in nats, one an example, [B].

        Zero at mean 0 and std 1. (The tutorial's printed formula has ``log(std**2)``, and its
        prose puts the zero at std 0, mean 1; its code, which counts, is this.)
        """
        terms = jnp.exp(2 * self.log_std) / 2 + self.mean**2 / 2 - self.log_std - 0.5
        return terms.sum(axis=-1)


def central_latent(encoded: DiagonalGaussian | Latent) -> Latent:
    """The point that stands for what ``encode`` returned: a posterior's mean, or the latent of a
    plain autoencoder itself. (Arrays have a ``mean`` too, so this asks for the type.)"""
    return encoded.mean if isinstance(encoded, DiagonalGaussian) else encoded
