"""Inputs that expose mistakes: random, different from one another, never constant.

A constant image passes a converter with the wrong flatten order, a batch of one hides a reduction,
and heads of equal shape can be swapped unseen unless each is compared by itself.

What a recording stands on is made from a seed with the same bits on every machine and in every
version: every number comes from the raw words of a bit generator, which NEP 19 freezes as it does
not ``Generator``'s distributions, by arithmetic that IEEE 754 determines to the last bit. It does
not determine a sine, a logarithm or a power.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from vae_jax.models import create_model, get_spec, variable_shapes
from vae_jax.spec import ModelSpec
from vae_jax.typing import Tensors


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


def probe_of(name: str, batch_size: int, seed: int, number: int, **hyper: object) -> Probe:
    """Return a probe for a model; each number gives another.

    The images are a few random waves a channel, smooth as pictures are; the noise is normal; the
    labels differ from row to row.
    """
    model: Any = create_model(name, **hyper)
    spec, rng = get_spec(name), np.random.default_rng(seed * 100_003 + number)
    height, width, channels = model.image_shape
    y = np.linspace(0, 2 * np.pi, height).reshape(1, -1, 1, 1)
    x = np.linspace(0, 2 * np.pi, width).reshape(1, 1, -1, 1)
    image = np.full((batch_size, height, width, channels), 0.5)
    for _ in range(4):
        frequency_y, frequency_x = rng.uniform(1, 9, (2, batch_size, 1, 1, channels))
        phase = rng.uniform(0, 2 * np.pi, (batch_size, 1, 1, channels))
        image += np.sin(frequency_y * y + frequency_x * x + phase) / 8
    noise = rng.standard_normal((batch_size, model.latent_size)) if spec.variational else None
    order = rng.permutation(spec.num_classes)
    return Probe(_stored(image, spec), noise, _labels(order, batch_size))


def probes_of(
    name: str, batch_size: int, seed: int, count: int, **hyper: object
) -> Iterator[Probe]:
    """Return the first probes for a model."""
    return (probe_of(name, batch_size, seed, number, **hyper) for number in range(count))


def seeded_tensors(name: str, seed: int, **hyper: object) -> Tensors:
    """Return weights and statistics under the reference's names, float64.

    They are the same on every machine. Uniform: weights within 1/sqrt of the product of all axes
    but the first, vectors within 0.1; a batch norm's scale is within 0.1 of 1, its running variance
    from 0.5 to 1.5. Counters are 0.
    """
    model = create_model(name, **hyper)
    shapes, tensors = variable_shapes(model), {}
    for rule in get_spec(name).rules(model):
        shape = rule.to_source(np.broadcast_to(np.int8(0), shapes[rule.target])).shape
        if rule.default is not None:
            tensors[rule.source] = np.full(shape, rule.default, np.int64)
            continue
        kind = rule.target[-1]
        middle = 1.0 if kind in ("scale", "var") else 0.0
        around = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.1
        around = 0.5 if kind == "var" else around
        values = _uniform(shape, "weights", seed, rule.source)
        values -= 0.5
        values *= 2 * around  # in place: one tensor can have 31 million numbers
        tensors[rule.source] = np.add(values, middle, out=values)
    return tensors


def seeded_probe(name: str, batch_size: int, seed: int, number: int, **hyper: object) -> Probe:
    """Return inputs as ``probe_of`` does, with the same bits on every machine.

    The waves are triangles, and the noise is the sum of twelve uniform numbers less 6, which is
    nearly normal.
    """
    model: Any = create_model(name, **hyper)
    spec = get_spec(name)
    height, width, channels = model.image_shape
    y, x = np.arange(height).reshape(-1, 1, 1) / height, np.arange(width).reshape(-1, 1) / width
    image = np.full((batch_size, height, width, channels), 0.5)
    waves = _uniform((4, 3, batch_size, 1, 1, channels), "image", seed, number)
    for frequency_y, frequency_x, phase in waves:
        turns = (1 + 8 * frequency_y) * y + (1 + 8 * frequency_x) * x + phase
        image += (np.abs(turns % 1 - 0.5) - 0.25) / 2
    noise = None
    if spec.variational:
        noise = _uniform((batch_size, model.latent_size, 12), "noise", seed, number)
        noise = np.floor(noise * 2**32).sum(-1) / 2**32 - 6  # whole numbers: an exact sum
    order = np.argsort(_words(spec.num_classes, "label", seed, number))
    return Probe(_stored(image, spec), noise, _labels(order, batch_size))


def _stored(image: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Return stored pixel values, in the model's range."""
    low, high = spec.pixel_range
    return np.round(image * 255) / 255 * (high - low) + low


def _labels(order: np.ndarray, batch_size: int) -> np.ndarray | None:
    """Return one-hot labels in an order of the classes; None where there are no classes."""
    return np.eye(order.size)[np.resize(order, batch_size)] if order.size else None


def bit_generator(*key: str | int) -> np.random.PCG64:
    """Return the source of raw words that a key of strings and integers names."""
    return np.random.PCG64(np.random.SeedSequence(list("/".join(map(str, key)).encode())))


def _uniform(shape: tuple[int, ...], *key: str | int) -> np.ndarray:
    """Return float64 from 0 to below 1, from the upper 53 bits of raw words."""
    words = _words(math.prod(shape), *key)
    words >>= np.uint64(11)
    return np.multiply(words, 2.0**-53).reshape(shape)


def _words(count: int, *key: str | int) -> np.ndarray:
    return bit_generator(*key).random_raw(count)
