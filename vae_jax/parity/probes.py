"""Inputs that expose faults: random, different from one another, never constant.

A constant image passes a converter with the wrong flatten order, a batch of one hides a reduction,
and heads of equal shape can be swapped unseen unless each is compared by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Probe(NamedTuple):
    """One batch of inputs, the same for both frameworks.

    Attributes:
        image: float64 [B, H, W, C], stored pixel values (multiples of 1/255) in [0, 1].
        noise: float64 [B, L], or None for a model that takes none.
    """

    image: np.ndarray
    noise: np.ndarray | None


def make_probe(
    image_shape: tuple[int, int, int], latent_size: int | None, batch_size: int, seed: int
) -> Probe:
    """Images of a few random waves a channel, smooth as pictures are, and standard normal noise."""
    rng = np.random.default_rng(seed)
    height, width, channels = image_shape
    y = np.linspace(0, 2 * np.pi, height).reshape(1, -1, 1, 1)
    x = np.linspace(0, 2 * np.pi, width).reshape(1, 1, -1, 1)
    image = np.full((batch_size, height, width, channels), 0.5)
    for _ in range(4):
        frequency_y, frequency_x = rng.uniform(1, 9, (2, batch_size, 1, 1, channels))
        phase = rng.uniform(0, 2 * np.pi, (batch_size, 1, 1, channels))
        image += np.sin(frequency_y * y + frequency_x * x + phase) / 8
    noise = None if latent_size is None else rng.standard_normal((batch_size, latent_size))
    return Probe(np.round(image * 255) / 255, noise)
