"""What the judge sees on the way from one face to another: is the way smooth, and monotone?

Source: tutorial 002, listing 7.10 and exercise 7.2 (linear, from group mean to group mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from vae_jax.judge.arithmetic import Look
from vae_jax.judge.classifier import Judged
from vae_jax.judge.spaces import Space, draw_groups, group_means
from vae_jax.latents import interpolate, select_images
from vae_jax.typing import Float, Int, Key

NUM_STEPS = 11
TOLERANCE = 0.01
"""How far a value may step back on a way that is still called monotone, in units of its range."""
DARK, LIGHT = "0..0.2", "0.8..1"
_CHUNK = 5  # ways at a time: 55 pictures


class Pairs(NamedTuple):
    """Both ends of ways: numbers of training images.

    Attributes:
        starts: [P, K].
        ends: [P, K].
    """

    starts: Int[np.ndarray, "P K"]
    ends: Int[np.ndarray, "P K"]


class Ways(NamedTuple):
    """Ways of S pictures.

    Attributes:
        judged: what the judge sees in each picture, arrays [P, S].
        changes: root mean square change of the pixels from each picture to the next, [P, S - 1].
    """

    judged: Judged
    changes: Float[np.ndarray, "P S_less_1"]


def dark_to_light(
    attributes: Mapping[str, np.ndarray], num_pairs: int, size: int, key: Key
) -> Pairs:
    """Groups with dark frames (below 0.2) and with light ones (above 0.8), of the same person:
    men first, then women, half of the pairs each."""
    men_key, women_key = jax.random.split(key)
    each = [
        _pairs(
            attributes,
            f"glasses=yes,person={person},frame_lightness={DARK}",
            f"glasses=yes,person={person},frame_lightness={LIGHT}",
            num,
            size,
            k,
        )
        for person, num, k in (
            ("man", -(-num_pairs // 2), men_key),
            ("woman", num_pairs // 2, women_key),
        )
    ]
    return Pairs(*(np.concatenate(parts) for parts in zip(*each, strict=True)))


def with_to_without(
    attributes: Mapping[str, np.ndarray], num_pairs: int, size: int, key: Key
) -> Pairs:
    """Groups of women with glasses and of women without: listing 7.10."""
    with_glasses, without = "glasses=yes,person=woman", "glasses=no,person=woman"
    return _pairs(attributes, with_glasses, without, num_pairs, size, key)


def measure_ways(
    space: Space, pairs: Pairs, look: Look, key: Key, num_steps: int = NUM_STEPS
) -> Ways:
    """Goes straight from the mean of each start to that of its end, and looks at every step.

    Args:
        space: where the way goes.
        pairs: the ends.
        look: the judge.
        key: of the points, where they are drawn.
        num_steps: pictures a way, both ends included.
    """
    parts = []
    for begin in range(0, len(pairs.starts), _CHUNK):
        some = Pairs(*(numbers[begin : begin + _CHUNK] for numbers in pairs))
        pictures = way_pictures(space, some, jax.random.fold_in(key, begin), num_steps)
        judged = {name: values.reshape(-1, num_steps) for name, values in look(pictures).items()}
        frames = pictures.reshape(-1, num_steps, *pictures.shape[1:])
        changes = np.sqrt(np.mean(np.diff(frames, axis=1) ** 2, axis=(2, 3, 4)))
        parts.append(Ways(judged, changes))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def way_pictures(
    space: Space, pairs: Pairs, key: Key, num_steps: int = NUM_STEPS
) -> Float[np.ndarray, "N H W C"]:
    """The pictures of all ways, one way after another: [P * num_steps, H, W, C]."""
    starts, ends = (
        group_means(space, numbers, k)
        for numbers, k in zip(pairs, jax.random.split(key), strict=True)
    )
    ways = [interpolate(*both, num_steps) for both in zip(starts, ends, strict=True)]
    return space.pictures(np.concatenate(ways))


def steps_forward(
    values: Float[np.ndarray, "P S"], tolerance: int | float = TOLERANCE
) -> np.ndarray:
    """Which steps do not go back by more than the tolerance, bool [P, S - 1].

    >>> steps_forward(np.array([[0.0, 0.5, 0.4, 1.0]]), 0.05).tolist()
    [[True, False, True]]
    """
    return np.diff(values, axis=1) >= -tolerance


def largest_over_mean(changes: Float[np.ndarray, "P S_less_1"]) -> Float[np.ndarray, " P"]:
    """The largest change of each way over its mean change, [P]: 1 is perfectly even."""
    return changes.max(axis=1) / changes.mean(axis=1)


def crossings(probability: Float[np.ndarray, "P S"]) -> Int[np.ndarray, " P"]:
    """How often each way goes through 0.5, in either direction, [P]."""
    return np.count_nonzero(np.diff(probability > 0.5, axis=1), axis=1)


def crossing_place(probability: Float[np.ndarray, "P S"]) -> Float[np.ndarray, " P"]:
    """Where each way first goes through 0.5, as a share of the way, between its steps linearly.

    >>> crossing_place(np.array([[1.0, 0.75, 0.25], [1.0, 0.9, 0.8]])).tolist()
    [0.75, nan]

    Returns:
        [P]; NaN of a way that never does.
    """
    changed = np.diff(probability > 0.5, axis=1)
    first, rows = changed.argmax(axis=1), np.arange(len(probability))
    before, after = probability[rows, first], probability[rows, first + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        place = (first + (before - 0.5) / (before - after)) / changed.shape[1]
    return np.where(changed.any(axis=1), place, np.nan)


def _pairs(
    attributes: Mapping[str, np.ndarray], start: str, end: str, count: int, size: int, key: Key
) -> Pairs:
    return Pairs(
        *(
            draw_groups(select_images(attributes, conditions, "the data"), count, size, k)
            for conditions, k in zip((start, end), jax.random.split(key), strict=True)
        )
    )
