"""What the classifier sees between two faces: do attributes change evenly and in one direction?

Source: tutorial 002, listing 7.10 and exercise 7.2 (linear, from group mean to group mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from vae_jax.latents import interpolate, select_images
from vae_jax.typing import Float, Int, Key

from .arithmetic import Classify
from .classifier import Predictions
from .spaces import Space, draw_groups, group_means

NUM_STEPS = 11
TOLERANCE = 0.01
"""How far a value may step back and still count as monotone, in units of its range."""
DARK, LIGHT = "0..0.2", "0.8..1"
_CHUNK = 5  # interpolations at a time: 55 pictures


class Pairs(NamedTuple):
    """Both ends of interpolations: numbers of training images.

    Attributes:
        starts: [P, K].
        ends: [P, K].
    """

    starts: Int[np.ndarray, "P K"]
    ends: Int[np.ndarray, "P K"]


class Interpolations(NamedTuple):
    """Interpolations of S pictures each.

    Attributes:
        predictions: for each picture, arrays [P, S].
        changes: root mean square change of the pixels from each picture to the next, [P, S - 1].
    """

    predictions: Predictions
    changes: Float[np.ndarray, "P S_less_1"]


def dark_to_light(
    attributes: Mapping[str, np.ndarray], num_pairs: int, size: int, key: Key
) -> Pairs:
    """Draw groups with dark frames (below 0.2) and with light ones (above 0.8), of the same person:
    men first, then women, half of the pairs each."""
    halves = (("man", -(-num_pairs // 2)), ("woman", num_pairs // 2))
    pairs = [
        _pairs(
            attributes,
            f"glasses=yes,person={person},frame_lightness={DARK}",
            f"glasses=yes,person={person},frame_lightness={LIGHT}",
            count,
            size,
            person_key,
        )
        for (person, count), person_key in zip(halves, jax.random.split(key), strict=True)
    ]
    return Pairs(*(np.concatenate(parts) for parts in zip(*pairs, strict=True)))


def with_to_without(
    attributes: Mapping[str, np.ndarray], num_pairs: int, size: int, key: Key
) -> Pairs:
    """Draw groups of women with glasses and of women without: listing 7.10."""
    with_glasses, without = "glasses=yes,person=woman", "glasses=no,person=woman"
    return _pairs(attributes, with_glasses, without, num_pairs, size, key)


def measure_interpolations(
    space: Space, pairs: Pairs, classify: Classify, key: Key, num_steps: int = NUM_STEPS
) -> Interpolations:
    """Go straight from the mean of each start to that of its end, and classify every step.

    Args:
        space: where the points lie.
        pairs: the ends.
        classify: the attribute classifier.
        key: of the points, where they are drawn.
        num_steps: pictures each, both ends included.
    """
    parts = []
    for begin in range(0, len(pairs.starts), _CHUNK):
        some = Pairs(*(numbers[begin : begin + _CHUNK] for numbers in pairs))
        pictures = interpolated_pictures(space, some, jax.random.fold_in(key, begin), num_steps)
        predictions = {
            name: values.reshape(-1, num_steps) for name, values in classify(pictures).items()
        }
        frames = pictures.reshape(-1, num_steps, *pictures.shape[1:])
        changes = np.sqrt(np.mean(np.diff(frames, axis=1) ** 2, axis=(2, 3, 4)))
        parts.append(Interpolations(predictions, changes))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


def interpolated_pictures(
    space: Space, pairs: Pairs, key: Key, num_steps: int = NUM_STEPS
) -> Float[np.ndarray, "N H W C"]:
    """Return the pictures of all interpolations, one after another: [P * num_steps, H, W, C]."""
    starts, ends = (
        group_means(space, numbers, k)
        for numbers, k in zip(pairs, jax.random.split(key), strict=True)
    )
    points = [interpolate(*both, num_steps) for both in zip(starts, ends, strict=True)]
    return space.pictures(np.concatenate(points))


def steps_forward(
    values: Float[np.ndarray, "P S"], tolerance: int | float = TOLERANCE
) -> np.ndarray:
    """Return which steps do not go back by more than the tolerance, bool [P, S - 1].

    >>> steps_forward(np.array([[0.0, 0.5, 0.4, 1.0]]), 0.05).tolist()
    [[True, False, True]]
    """
    return np.diff(values, axis=1) >= -tolerance


def largest_over_mean(changes: Float[np.ndarray, "P S_less_1"]) -> Float[np.ndarray, " P"]:
    """Return the largest change of each interpolation over its mean, [P]: 1 is perfectly even."""
    return changes.max(axis=1) / changes.mean(axis=1)


def crossings(probability: Float[np.ndarray, "P S"]) -> Int[np.ndarray, " P"]:
    """Count how often each interpolation goes through 0.5, in either direction, [P]."""
    return np.count_nonzero(np.diff(probability > 0.5, axis=1), axis=1)


def crossing_place(probability: Float[np.ndarray, "P S"]) -> Float[np.ndarray, " P"]:
    """Return where each interpolation first goes through 0.5, from 0 to 1, linear between steps.

    >>> crossing_place(np.array([[1.0, 0.75, 0.25], [1.0, 0.9, 0.8]])).tolist()
    [0.75, nan]

    Returns:
        [P]; NaN where that never happens.
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
