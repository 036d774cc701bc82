"""What a decoder says about an image: the image itself, and how the loss measures another from it.

Each has ``mean`` [B, H, W, C] (the decoded image), ``reconstruction_loss(x)`` [B] (the loss term
of each example) and ``unit`` (of that term). Those that are likelihoods have ``log_prob(x)`` [B]
in nats, and their reconstruction loss is its negative.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2013, appendix C, for Bernoulli and
Gaussian decoders; the tutorials' loss functions for the rest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vae_jax.layers.forms import computed_first
from vae_jax.layers.sums import sum_axes
from vae_jax.typing import AnyArray, Image, PerExample

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class SquaredError(NamedTuple):
    """The squared error of tutorials 001, 002 and 004, summed over an image: no likelihood.

    Up to a constant it is the negative log density of a Gaussian with variance 1/2.
    """

    mean: Image
    unit = "squared error"

    def reconstruction_loss(self, x: Image) -> PerExample:
        """Squared error summed over the pixels and channels of each image, [B]."""
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
        """Log probability of images in [0, 1], nats, [B]."""
        h = self.logits
        nats = jnp.maximum(h, 0) - h * x + jnp.log1p(jnp.exp(-jnp.abs(h)))
        return -_pixel_sum(computed_first(nats))

    def reconstruction_loss(self, x: Image) -> PerExample:
        """The cross entropy, nats, [B]."""
        return -self.log_prob(x)


class OffsetBernoulli(NamedTuple):
    """Bernoulli pixels with 1e-8 inside the logarithms, as tutorial 003's code.

    The offset is lost in float32, where 1e-8 + 1 is 1: a sigmoid of exactly 1 gives NaN, as the
    original does. ``Bernoulli`` is the sound form.
    """

    mean: Image
    unit = "nats"

    def log_prob(self, x: Image) -> PerExample:
        """Log probability of images in [0, 1], nats, [B]."""
        g = self.mean
        nats = x * jnp.log(1e-8 + g) + (1 - x) * jnp.log(1e-8 + 1 - g)
        return _pixel_sum(computed_first(nats))

    def reconstruction_loss(self, x: Image) -> PerExample:
        """The cross entropy, nats, [B]."""
        return -self.log_prob(x)


class Gaussian(NamedTuple):
    """Independent Gaussian pixels with one standard deviation for all."""

    mean: Image
    log_std: AnyArray  # []
    unit = "nats"

    def log_prob(self, x: Image) -> PerExample:
        """Log density of images, nats, [B]; pixels count in units of the model's range."""
        numbers = math.prod(self.mean.shape[1:])
        log_std = jnp.asarray(self.log_std)
        error = squared_error(x, self.mean) * jnp.exp(-2 * log_std) / 2
        return -error - numbers * (log_std + _HALF_LOG_2PI)

    def reconstruction_loss(self, x: Image) -> PerExample:
        """The negative log density, nats, [B]."""
        return -self.log_prob(x)


Likelihood = SquaredError | Bernoulli | OffsetBernoulli | Gaussian


def squared_error(x: Image, decoded: Image) -> PerExample:
    """Squared error summed over the pixels and channels of each image, [B]."""
    return _pixel_sum((decoded - x) ** 2)


def _pixel_sum(x: Image) -> PerExample:
    return sum_axes(x, 1, 3)
