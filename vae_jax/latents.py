"""Points of a latent space to look at: where the latent workbench's functions live.

Source: tutorial 004, `interpolation2d`.
"""

from __future__ import annotations

from typing import SupportsFloat

import numpy as np

from vae_jax.typing import Float


def manifold_grid(
    x_range: tuple[SupportsFloat, SupportsFloat],
    y_range: tuple[SupportsFloat, SupportsFloat],
    num_columns: int,
    num_rows: int,
) -> Float[np.ndarray, "P 2"]:
    """Evenly spaced points of a rectangle in the order of the pictures of a table.

    The first coordinate grows from left to right, the second from the bottom row to the top one,
    as in a scatter plot of the same rectangle.

    >>> manifold_grid((0, 1), (-5, 5), 2, 3).tolist()
    [[0.0, 5.0], [1.0, 5.0], [0.0, 0.0], [1.0, 0.0], [0.0, -5.0], [1.0, -5.0]]

    Args:
        x_range: first coordinate of the left and the right column.
        y_range: second coordinate of the bottom and the top row.
        num_columns: points a row; a single one is at the left.
        num_rows: rows; a single one is at the top.

    Returns:
        [num_rows * num_columns, 2], float64 whatever the type of the ranges.

    Raises:
        ValueError: no columns or no rows.
    """
    if num_columns < 1 or num_rows < 1:
        raise ValueError(f"a manifold of {num_rows} rows of {num_columns} points")
    left, right = (float(bound) for bound in x_range)
    bottom, top = (float(bound) for bound in y_range)
    x = np.tile(np.linspace(left, right, num_columns), num_rows)
    y = np.linspace(top, bottom, num_rows).repeat(num_columns)
    return np.stack([x, y], axis=1)
