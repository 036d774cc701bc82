"""Corrupt images for denoising, and measure their PSNR.

The corruptions are those of Vincent et al., "Stacked Denoising Autoencoders", 2010, section 3.3.
The noise comes from one key per example, so that neither the batch size nor its sharding changes an
example.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from vae_jax.recipe import Corruption
from vae_jax.typing import Image, Key, PerExample


def corrupt(
    corruption: Corruption,
    keys: Key,
    x: Image,
    pixel_range: tuple[float, float] = (0.0, 1.0),
) -> Image:
    """Add noise to images, with one key per example.

    ``gaussian`` adds standard normal noise times the amount and the width of the pixel range,
    without clipping. ``mask`` makes pixels black in all channels; ``salt-pepper`` makes them white
    or black, with half the probability each. ``none`` returns ``x`` itself.

    Args:
        corruption: the kind and amount; static under ``jax.jit``.
        keys: one typed PRNG key per example, [B]: ``jax.random.split(key, B)``.
        x: [B, H, W, C] in the model's pixel range.
        pixel_range: the model's values of black and white.

    Returns:
        [B, H, W, C] in the dtype of ``x``.
    """
    amount, (low, high) = corruption.amount, pixel_range
    if corruption.kind == "none":
        return x

    def one(key: jax.Array, image: jax.Array) -> jax.Array:
        if corruption.kind == "gaussian":
            noise = jax.random.normal(key, image.shape, image.dtype)
            return image + noise * (amount * (high - low))
        # Always draw in float32, so that the same pixels change in every precision.
        place = jax.random.uniform(key, (*image.shape[:-1], 1), jnp.float32)
        if corruption.kind == "mask":
            return jnp.where(place < amount, low, image)
        return jnp.where(place < amount / 2, low, jnp.where(place < amount, high, image))

    return jax.vmap(one)(keys, jnp.asarray(x))


def psnr(a: Image, b: Image, peak: float = 1.0) -> PerExample:
    """Return each image's peak signal-to-noise ratio, 10 log10(peak² / mean squared error), in dB.

    It is infinite for identical images. An error of a tenth of the peak in every pixel is 20 dB:

    >>> psnr(jnp.full((1, 2, 2, 1), 0.5), jnp.full((1, 2, 2, 1), 0.75), peak=2.5).round(3).tolist()
    [20.0]

    Args:
        a: [B, H, W, C].
        b: the same shape and dtype.
        peak: width of the pixel range: 1 for (0, 1), 2 for (-1, 1).

    Returns:
        [B].

    Raises:
        ValueError: the shapes differ, as broadcasting would compare one image with many.
    """
    if a.shape != b.shape:
        raise ValueError(f"images of shapes {a.shape} and {b.shape}; expected the same shape")
    squared_error = jnp.square(jnp.asarray(a) - jnp.asarray(b)).mean(axis=(1, 2, 3))
    return 20 * math.log10(peak) - 10 * jnp.log10(squared_error)
