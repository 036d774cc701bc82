"""A tensor of any size in six numbers that a difference cannot hide from.

Four random projections, the root mean square and the largest magnitude, each of the size of one
element: a difference that is spread over a tensor, as rounding is, has the same size in a digest. A
single wrong number of n is diluted: it shows once its error is above the budget times the square
root of n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vae_jax.parity.seeded import bit_generator
from vae_jax.typing import Tensors

WHOLE = 16  # a tensor of up to so many numbers is kept as it is
PROJECTIONS = 4  # as many as a raw word has numbers of 16 bits
LENGTH = PROJECTIONS + 2  # of a digest, and of nothing else

_CHUNK = 1 << 16


def digest(name: str, value: Any) -> np.ndarray:
    """All of a small tensor, in one dimension; of a large one, or one of just 6 numbers, [6]. The
    name and size choose the vectors."""
    array = np.asarray(value, np.float64)
    flat = array.reshape(-1)
    if flat.size <= WHOLE and flat.size != LENGTH:
        return flat
    bits, sums = bit_generator("projections", name, flat.size), []
    for begin in range(0, flat.size, _CHUNK):
        chunk = flat[begin : begin + _CHUNK]
        numbers = bits.random_raw(chunk.size).astype("<u8").view("<i2")
        vectors = numbers.reshape(-1, PROJECTIONS).T / 32768.0
        # From 0.5 to 1.5 either way: never near 0, or a single wrong number could stay unseen;
        # seldom equal, or two that changed places could.
        vectors += np.copysign(0.5, vectors)
        vectors = np.ascontiguousarray(vectors)
        vectors *= chunk
        sums.append([*vectors.sum(1), np.square(chunk).sum()])
    *projections, squares = np.stack(sums, axis=1).sum(1)  # along memory NumPy sums pairwise
    scale = math.sqrt(flat.size)
    largest = np.maximum(flat.max(), -flat.min())
    return np.array([*(p / scale for p in projections), np.sqrt(squares) / scale, largest])


def digests(tensors: Mapping[str, Any]) -> Tensors:
    """The digest of each."""
    return {name: digest(name, value) for name, value in tensors.items()}
