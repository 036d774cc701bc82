"""Weights and inputs made from a seed, with the same bits on every machine and in every version.

Every number comes from the raw words of a bit generator, which NEP 19 freezes as it does not
``Generator``'s distributions, by arithmetic that IEEE 754 determines to the last bit. It does not
determine a sine, a logarithm or a power.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vae_jax.models import create_model, get_spec, variable_shapes
from vae_jax.parity.probes import Probe
from vae_jax.typing import Tensors


def seeded_tensors(name: str, seed: int, **hyper: Any) -> Tensors:
    """Weights and statistics under the reference's names, float64, the same on every machine.

    Uniform: weights within 1/sqrt of the product of all axes but the first, vectors within 0.1; a
    batch norm's scale is within 0.1 of 1, its running variance from 0.5 to 1.5. Counters are 0.
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


def seeded_probe(name: str, batch_size: int, seed: int, number: int, **hyper: Any) -> Probe:
    """Inputs as ``probe_of`` makes them, but that the waves are triangles, and the noise the sum of
    twelve uniform numbers less 6, which is nearly normal."""
    model: Any = create_model(name, **hyper)
    spec = get_spec(name)
    low, high = spec.pixel_range
    height, width, channels = model.image_shape
    y, x = np.arange(height).reshape(-1, 1, 1) / height, np.arange(width).reshape(-1, 1) / width
    image = np.full((batch_size, height, width, channels), 0.5)
    waves = _uniform((4, 3, batch_size, 1, 1, channels), "image", seed, number)
    for frequency_y, frequency_x, phase in waves:
        turns = (1 + 8 * frequency_y) * y + (1 + 8 * frequency_x) * x + phase
        image += (np.abs(turns % 1 - 0.5) - 0.25) / 2
    noise = label = None
    if spec.variational:
        noise = _uniform((batch_size, model.latent_size, 12), "noise", seed, number)
        noise = np.floor(noise * 2**32).sum(-1) / 2**32 - 6  # whole numbers: an exact sum
    if spec.num_classes:
        order = np.argsort(_words(spec.num_classes, "label", seed, number))
        label = np.eye(spec.num_classes)[np.resize(order, batch_size)]
    return Probe(np.round(image * 255) / 255 * (high - low) + low, noise, label)


def bit_generator(*key: Any) -> np.random.PCG64:
    """The source of raw words that a key of strings and integers names."""
    return np.random.PCG64(np.random.SeedSequence(list("/".join(map(str, key)).encode())))


def _uniform(shape: tuple[int, ...], *key: Any) -> np.ndarray:
    """float64 from 0 to below 1, from the upper 53 bits of raw words."""
    words = _words(math.prod(shape), *key)
    words >>= np.uint64(11)
    return np.multiply(words, 2.0**-53).reshape(shape)


def _words(count: int, *key: Any) -> np.ndarray:
    return bit_generator(*key).random_raw(count)
