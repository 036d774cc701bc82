"""How often the arithmetic of faces gives the face it should, over many random draws.

Source: tutorial 002, listings 7.7 to 7.9 and exercise 7.1. The printed text of listing 7.9's
explanation and of exercise 7.1 has minuend and subtrahend the wrong way round: "subtract the
encoding of men with glasses from that of women with glasses, and add women without" is printed
for the listing's ``men_g - women_g + women_ng``. Read literally, exercise 7.1 (1) is
``men_ng - men_g + women_ng``, of -1 glasses. Each is balanced when turned round, as the listing's
code does; that reading is measured. Turned round, (1) and (3) are one sum in two orders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from vae_jax.errors import UserError
from vae_jax.latents import combine, parse_expression
from vae_jax.typing import Float, Int, Key

from .classifier import Predictions
from .spaces import Space, draw_groups, group_means

Classify = Callable[[np.ndarray], Predictions]
"""Pictures [N, H, W, C] in [0, 1] to predictions."""
Draws = dict[str, Int[np.ndarray, "G K"]]
"""Name of a group to the numbers of its images in each draw."""

GROUPS: dict[str, tuple[bool, bool]] = {
    "men_g": (True, True),
    "women_g": (True, False),
    "men_ng": (False, True),
    "women_ng": (False, False),
}
"""The tutorial's four groups, and whether they have glasses and are men."""
EXPRESSIONS = {
    "listing 7.9": "men_g - women_g + women_ng",
    "exercise 7.1 (1)": "men_g - men_ng + women_ng",
    "exercise 7.1 (2)": "men_ng - women_ng + women_g",
    "exercise 7.1 (3)": "women_ng - men_ng + men_g",
}
DISTINCT = tuple(EXPRESSIONS.values())[:3]
"""Without exercise 7.1 (3), which adds the same three groups as (1): a check, no new evidence."""
_CHUNK = 8  # draws at a time: with every group and expression, 64 pictures


class Tally(NamedTuple):
    """How many of some pictures show what they should.

    Attributes:
        total: pictures.
        right: one face, with glasses and person right.
        both: with glasses and person right.
        glasses: with glasses right.
        person: with the person right.
        one: seen as one face.
    """

    total: int
    right: int
    both: int
    glasses: int
    person: int
    one: int


def expected(expression: str) -> tuple[bool, bool]:
    """Return whether the face of an expression has glasses, and is a man.

    >>> expected("men_g - women_g + women_ng")
    (False, True)

    Raises:
        UserError: it is no expression of the groups, or its attributes do not cancel to one face.
    """
    weights = parse_expression(expression, GROUPS)
    totals = [sum(w * GROUPS[name][i] for name, w in weights.items()) for i in (0, 1)]
    if sum(weights.values()) != 1 or not set(totals) <= {0, 1}:
        raise UserError(
            f"{expression!r} has {totals[0]:g} times glasses and {totals[1]:g} times a man; "
            "expected 0 or 1 of each, and weights that sum to 1"
        )
    return totals[0] == 1, totals[1] == 1


def draw_all_groups(
    attributes: Mapping[str, np.ndarray],
    num_draws: int,
    size: int,
    key: Key,
    lightest: float = 1.0,
) -> Draws:
    """Draw random images of each of the four groups, as ``draw_groups`` does.

    Args:
        attributes: columns [N] "glasses", "person" and "frame_lightness" of the training images.
        num_draws: how many times.
        size: images a group.
        key: of the draws.
        lightest: of the frames that are drawn.

    Raises:
        UserError: a group has fewer images.
    """
    glasses, man = attributes["glasses"] == "yes", attributes["person"] == "man"
    fits = ~(attributes["frame_lightness"] > lightest)  # NaN, no frame, fits
    return {
        name: draw_groups(
            np.flatnonzero(fits & (glasses == has_glasses) & (man == is_man)), num_draws, size, k
        )
        for (name, (has_glasses, is_man)), k in zip(
            GROUPS.items(), jax.random.split(key, len(GROUPS)), strict=True
        )
    }


def measure_arithmetic(
    space: Space, draws: Draws, classify: Classify, key: Key
) -> dict[str, Predictions]:
    """Classify the decoded arithmetic, and the plain means of the groups.

    What is not seen in the means, no arithmetic can give.

    Args:
        space: where the faces are added.
        draws: of ``draw_all_groups``.
        classify: the attribute classifier.
        key: of the points, where they are drawn.

    Returns:
        Of each group's name and each expression the predictions, arrays [G] over the draws.
    """
    texts = [*GROUPS, *EXPRESSIONS.values()]
    num_draws = len(draws[next(iter(GROUPS))])
    parts: list[Predictions] = []
    for begin in range(0, num_draws, _CHUNK):
        some = {name: numbers[begin : begin + _CHUNK] for name, numbers in draws.items()}
        seen = classify(space.pictures(results(space, some, jax.random.fold_in(key, begin))))
        # All draws of the first text, then all of the second, ...
        parts.append({name: values.reshape(len(texts), -1) for name, values in seen.items()})
    return {
        text: {name: np.concatenate([part[name][row] for part in parts]) for name in parts[0]}
        for row, text in enumerate(texts)
    }


def results(space: Space, draws: Draws, key: Key) -> Float[np.ndarray, "P D"]:
    """Return the points of the four groups and of the four expressions, in this order, each of
    all draws: [8 * G, D]."""
    keys = jax.random.split(key, len(GROUPS))
    means = {name: group_means(space, draws[name], k) for name, k in zip(GROUPS, keys, strict=True)}
    points = list(means.values())
    for expression in EXPRESSIONS.values():
        weights = parse_expression(expression, GROUPS)
        rows = range(len(points[0]))
        points.append(
            np.stack([combine(weights, {n: means[n][row] for n in weights}) for row in rows])
        )
    return np.concatenate(points)


def tally(predictions: Predictions, glasses: bool, man: bool) -> Tally:
    """Count the pictures that show what they should.

    Args:
        predictions: of N pictures.
        glasses: whether they should have glasses.
        man: whether they should be men.
    """
    right_glasses, right_person = (
        (predictions["glasses"] > 0.5) == glasses,
        (predictions["man"] > 0.5) == man,
    )
    both, one = right_glasses & right_person, predictions["one"] > 0.5
    counted = (both & one, both, right_glasses, right_person, one)
    return Tally(len(one), *(int(np.count_nonzero(right)) for right in counted))


def standard_error(successes: int, count: int) -> float:
    """Return the binomial standard error of a share, ``sqrt(p (1 - p) / n)``.

    >>> standard_error(50, 100)
    0.05
    """
    share = successes / count
    return math.sqrt(share * (1 - share) / count)
