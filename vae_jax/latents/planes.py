"""Grids of points on a plane of a latent space.

Source: tutorial 004, ``interpolation2d``.
"""

from __future__ import annotations

from typing import SupportsFloat

import numpy as np

from vae_jax.typing import AnyArray, Float


def manifold_grid(
    x_range: tuple[SupportsFloat, SupportsFloat],
    y_range: tuple[SupportsFloat, SupportsFloat],
    num_columns: int,
    num_rows: int,
) -> Float[np.ndarray, "P 2"]:
    """Return evenly spaced points of a rectangle, in the order of a table's pictures.

    The first coordinate grows from left to right, the second from bottom to top, as in a scatter
    plot of the same rectangle.

    >>> manifold_grid((0, 1), (-5, 5), 2, 3).tolist()
    [[0.0, 5.0], [1.0, 5.0], [0.0, 0.0], [1.0, 0.0], [0.0, -5.0], [1.0, -5.0]]

    Args:
        x_range: first coordinate of the left and the right column.
        y_range: second coordinate of the bottom and the top row.
        num_columns: points per row; a single one is at the left.
        num_rows: rows; a single one is at the top.

    Returns:
        [num_rows * num_columns, 2], always float64.

    Raises:
        ValueError: there are no columns or no rows.
    """
    if num_columns < 1 or num_rows < 1:
        raise ValueError(f"a manifold of {num_rows} rows of {num_columns} points")
    left, right = (float(bound) for bound in x_range)
    bottom, top = (float(bound) for bound in y_range)
    x = np.tile(np.linspace(left, right, num_columns), num_rows)
    y = np.linspace(top, bottom, num_rows).repeat(num_columns)
    return np.stack([x, y], axis=1)


def plane(
    origin: Float[AnyArray, " L"],
    across: Float[AnyArray, " L"],
    up: Float[AnyArray, " L"],
    x_range: tuple[SupportsFloat, SupportsFloat],
    y_range: tuple[SupportsFloat, SupportsFloat],
    num_columns: int,
    num_rows: int,
) -> Float[np.ndarray, "P L"]:
    """Return points ``origin + x * across + y * up`` for the grid of ``manifold_grid``.

    For dimensions i and j use the zero vector and two unit vectors. For three points a, b and c
    use ``plane(a, b - a, c - a, ...)``: a is at (0, 0), b at (1, 0), c at (0, 1).

    >>> plane(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), (1, 2), (5, 5), 2, 1)
    array([[1., 0., 5.],
           [2., 0., 5.]])

    Args:
        origin: the point at x = y = 0, [L].
        across: one step of x, [L].
        up: one step of y, [L].
        x_range: x of the left and the right column.
        y_range: y of the bottom and the top row.
        num_columns: points per row; a single one is at the left.
        num_rows: rows; a single one is at the top.

    Returns:
        [num_rows * num_columns, L], float64.

    Raises:
        ValueError: there are no columns or no rows.
    """
    grid = manifold_grid(x_range, y_range, num_columns, num_rows)
    start, *steps = (np.asarray(vector, np.float64) for vector in (origin, across, up))
    return start[None] + grid @ np.stack(steps)
