"""Inputs that expose faults: random, different from one another, never constant.

A constant image passes a converter with the wrong flatten order, a batch of one hides a reduction,
and heads of equal shape can be swapped unseen unless each is compared by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from vae_jax.models import create_model, get_spec


class Probe(NamedTuple):
    """One batch of inputs, the same for both frameworks.

    Attributes:
        image: float64 [B, H, W, C], stored pixel values in the model's pixel range.
        noise: float64 [B, L], or None for a model that takes none.
        label: float64 one-hot [B, K], or None for a model that takes none.
    """

    image: np.ndarray
    noise: np.ndarray | None
    label: np.ndarray | None = None


def make_probe(
    image_shape: tuple[int, int, int],
    latent_size: int | None,
    batch_size: int,
    seed: int,
    *,
    pixel_range: tuple[float, float] = (0.0, 1.0),
    num_classes: int = 0,
) -> Probe:
    """Images of a few random waves a channel, smooth as pictures are, standard normal noise, and
    labels that differ from row to row."""
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
    label = None
    if num_classes:
        label = np.eye(num_classes)[np.resize(rng.permutation(num_classes), batch_size)]
    low, high = pixel_range
    return Probe(np.round(image * 255) / 255 * (high - low) + low, noise, label)


def probe_of(name: str, batch_size: int, seed: int, number: int, **hyper: Any) -> Probe:
    """A probe for a model; each number gives another."""
    model: Any = create_model(name, **hyper)
    spec = get_spec(name)
    return make_probe(
        model.image_shape,
        model.latent_size if spec.variational else None,
        batch_size,
        seed * 100_003 + number,
        pixel_range=spec.pixel_range,
        num_classes=spec.num_classes,
    )


def probes_of(name: str, batch_size: int, seed: int, count: int, **hyper: Any) -> Iterator[Probe]:
    """The first probes for a model."""
    return (probe_of(name, batch_size, seed, number, **hyper) for number in range(count))
