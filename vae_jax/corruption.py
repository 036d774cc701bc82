"""Noise for denoising: what is done to a picture before the model sees it, and how near it is.

The kinds of noise are those of Vincent et al., "Stacked Denoising Autoencoders", 2010, section
3.3. Every function is pure; the noise comes from one key an example, so that neither the size of
a batch nor its sharding over devices changes what happens to an example.
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
    """Images with noise of one key an example.

    ``gaussian`` adds standard normal noise times the amount and the width of the pixel range; the
    sum is not clipped. ``mask`` makes a pixel black, all its channels together; ``salt-pepper``
    makes it white or black, with half the probability each. ``none`` returns ``x`` itself.

    Args:
        corruption: what to do; static under ``jax.jit``.
        keys: one typed PRNG key an example, [B]: ``jax.random.split(key, B)``.
        x: [B, H, W, C] in the model's pixel range.
        pixel_range: the model's values of black and white.

    Returns:
        [B, H, W, C] of the dtype of ``x``.
    """
    amount, (low, high) = corruption.amount, pixel_range
    if corruption.kind == "none":
        return x

    def one(key: jax.Array, image: jax.Array) -> jax.Array:
        if corruption.kind == "gaussian":
            noise = jax.random.normal(key, image.shape, image.dtype)
            return image + noise * (amount * (high - low))
        # In float32 always, so that the same pixels are hit in every precision.
        place = jax.random.uniform(key, (*image.shape[:-1], 1), jnp.float32)
        if corruption.kind == "mask":
            return jnp.where(place < amount, low, image)
        return jnp.where(place < amount / 2, low, jnp.where(place < amount, high, image))

    return jax.vmap(one)(keys, jnp.asarray(x))


def psnr(a: Image, b: Image, peak: float = 1.0) -> PerExample:
    """Peak signal-to-noise ratio in dB of each image: 10 log10(peak² / mean squared error).

    Symmetric; infinite where the images are identical. An error of a tenth of the peak in every
    pixel is 20 dB:

    >>> psnr(jnp.full((1, 2, 2, 1), 0.5), jnp.full((1, 2, 2, 1), 0.75), peak=2.5).round(3).tolist()
    [20.0]

    Args:
        a: [B, H, W, C].
        b: the same shape and dtype.
        peak: width of the pixel range: 1 for (0, 1), 2 for (-1, 1).

    Returns:
        [B].

    Raises:
        ValueError: the shapes differ; one image would be compared with many.
    """
    if a.shape != b.shape:
        raise ValueError(f"images {a.shape} and {b.shape} are compared one with one")
    squared_error = jnp.square(jnp.asarray(a) - jnp.asarray(b)).mean(axis=(1, 2, 3))
    return 20 * math.log10(peak) - 10 * jnp.log10(squared_error)
