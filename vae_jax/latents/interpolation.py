"""Interpolate between encodings.

Source: tutorial 002, listing 7.10 (linear, six steps); K. Shoemake, "Animating rotation with
quaternion curves", SIGGRAPH 1985 (spherical).
"""

from __future__ import annotations

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.typing import AnyArray, Float

Kind = Literal["linear", "spherical"]


def interpolate(
    start: Float[AnyArray, " L"],
    end: Float[AnyArray, " L"],
    num_steps: int,
    kind: Kind = "linear",
) -> Float[AnyArray, "S L"]:
    """Return evenly spaced points from ``start`` to ``end``, including both ends exactly.

    Linear: ``(1 - w) * start + w * end`` for w = 0 .. 1; listing 7.10 is ``num_steps=6`` from
    ``women_g`` to ``women_ng``. Spherical: with the directions ``u = start / |start|`` and
    ``v = end / |end|``, and t the angle between them, ::

        ((1 - w) |start| + w |end|) * (sin((1 - w) t) * u + sin(w t) * v) / sin(t)

    The direction turns evenly along the great circle while the norm changes linearly, so the way
    between points far from the origin, such as draws from a wide prior, does not pass near it. If
    there is no unique arc (a zero vector, or parallel or opposite directions: sin(t) below the
    square root of the dtype's epsilon), the points are the linear ones.

    NumPy arrays give NumPy arrays, all others JAX arrays. Under ``jit``, the last two arguments are
    static.

    >>> interpolate(np.array([0.0, 2.0]), np.array([2.0, 0.0]), 3).tolist()
    [[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]

    Args:
        start: the first point, [L].
        end: the last point, [L].
        num_steps: the number of points, at least 2.
        kind: linear or spherical.

    Returns:
        [num_steps, L] in the dtype of the ends.

    Raises:
        ValueError: there are fewer than two steps, or the kind does not exist.
    """
    if num_steps < 2:
        raise ValueError(f"an interpolation of {num_steps} points; expected at least 2, the ends")
    if kind not in ("linear", "spherical"):
        raise ValueError(f"there is no interpolation {kind!r}; expected linear or spherical")
    # np and jnp share these functions, but not a type.
    xp: Any = jnp if isinstance(start, jax.Array) or isinstance(end, jax.Array) else np
    dtype = xp.result_type(start, end)
    fraction = (np.arange(num_steps) / (num_steps - 1))[:, None]
    after, before = fraction.astype(dtype), (1 - fraction).astype(dtype)
    first, last = xp.asarray(start)[None], xp.asarray(end)[None]
    points = before * first + after * last
    if kind == "linear":
        return points
    first_norm, last_norm = (xp.sqrt(xp.sum(end * end)) for end in (first, last))
    u = first / xp.where(first_norm > 0, first_norm, xp.ones_like(first_norm))
    v = last / xp.where(last_norm > 0, last_norm, xp.ones_like(last_norm))
    # Computing the angle from chords stays accurate for small angles, unlike the arc cosine.
    chord, sum_chord = xp.sqrt(xp.sum((u - v) ** 2)), xp.sqrt(xp.sum((u + v) ** 2))
    angle = 2 * xp.arctan2(chord, sum_chord)
    sine = xp.sin(angle)
    has_arc = (sine > float(np.sqrt(xp.finfo(dtype).eps))) & (first_norm * last_norm > 0)
    turned = xp.sin(before * angle) * u + xp.sin(after * angle) * v
    norm = before * first_norm + after * last_norm
    arc = norm * turned / xp.where(has_arc, sine, xp.ones_like(sine))
    inside = (fraction > 0) & (fraction < 1)  # the ends stay exact, without rounding
    return xp.where(has_arc & inside, arc, points)
