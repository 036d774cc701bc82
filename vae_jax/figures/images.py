"""Rows and grids of reconstructions, samples, arithmetic and interpolations, as tutorial 002's.

Source: listings 7.2 (``plot_digits``), 7.6, 7.9 and 7.10 and figure 7.7 of the tutorial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.figures.drawing import Images, displayable
from vae_jax.figures.tables import image_table

if TYPE_CHECKING:
    import matplotlib.figure

_LABELS = ("original", "reconstruction")


def reconstruction_rows(
    originals: Images, reconstructions: Images, *, title: str | None = None
) -> matplotlib.figure.Figure:
    """Draw digits above their reconstructions: the tutorial's ``plot_digits`` (listing 7.2).

    As there, a one-channel image is drawn from its smallest value (white) to its largest (black),
    so an untrained model's faint noise shows at full contrast.

    Args:
        originals: [N, H, W, C].
        reconstructions: the same shape.
        title: title above the rows.
    """
    pairs = _pairs(originals, reconstructions)
    rows = np.concatenate(pairs)
    return image_table(rows, len(pairs[0]), cmap="binary", row_titles=_LABELS, title=title)


def sample_grid(images: Images, *, title: str | None = None) -> matplotlib.figure.Figure:
    """Draw samples, six per row: the tutorial's ``plot_epoch`` (listing 7.6), with 18 images.

    More than 36 are drawn in about as many rows as columns.

    Args:
        images: [N, H, W, C].
        title: title above the grid.
    """
    columns = max(6, math.isqrt(len(images) - 1) + 1)
    return image_table(images, columns, own_range=False, title=title)


def reconstruction_grid(
    originals: Images, reconstructions: Images, *, title: str | None = None
) -> matplotlib.figure.Figure:
    """Draw rows of eight originals, each above the row of their reconstructions (figure 7.7).

    The tutorial draws 16: rows 1 and 3 are originals, rows 2 and 4 reconstructions.

    Args:
        originals: [N, H, W, C].
        reconstructions: the same shape.
        title: title above the grid.
    """
    pairs = np.stack(_pairs(originals, reconstructions))
    count = pairs.shape[1]
    columns = min(8, count)
    # White places after an incomplete row keep each reconstruction below its original.
    blank = [(0, 0), (0, -count % columns), (0, 0), (0, 0), (0, 0)]
    pairs = np.pad(pairs, blank, constant_values=1.0)
    rows = pairs.reshape(2, -1, columns, *pairs.shape[2:]).swapaxes(0, 1)
    return image_table(
        rows.reshape(-1, *pairs.shape[2:]),
        columns,
        own_range=False,
        row_titles=_LABELS * len(rows),
        title=title,
    )


def denoising_rows(noisy: Images, denoised: Images, clean: Images) -> matplotlib.figure.Figure:
    """Draw a row of noisy pictures, a row of denoised ones and a row of clean ones.

    All are clipped to 0 to 1, black and white.

    Args:
        noisy: the model's input, [N, H, W, C].
        denoised: its output, in the same shape.
        clean: the target, in the same shape.

    Raises:
        ValueError: the shapes differ, or there are no pictures.
    """
    shapes = [np.shape(images) for images in (noisy, denoised, clean)]
    if len(set(shapes)) != 1 or len(clean) == 0:
        raise ValueError(
            "noisy {}, denoised {} and clean {} must have the same shape, and be at least"
            " one".format(*shapes)
        )
    rows = np.concatenate([displayable(images) for images in (noisy, denoised, clean)])
    return image_table(rows, len(clean), own_range=False, row_titles=("noisy", "denoised", "clean"))


def arithmetic_rows(
    rows: Sequence[np.ndarray],
    titles: Sequence[str],
    captions: Sequence[Sequence[str]] | None = None,
) -> matplotlib.figure.Figure:
    """Draw rows of pictures, each below a title: listing 7.9, which has one row of four.

    Args:
        rows: the images of each row, [N, H, W, C], in [0, 1] or bytes, the result last.
        titles: one per row.
        captions: texts below the pictures of each row.

    Raises:
        ValueError: there are no rows, or another number of titles.
    """
    if not rows or len(titles) != len(rows):
        raise ValueError(f"{len(titles)} titles for {len(rows)} rows; at least one is needed")
    columns = max(map(len, rows))
    filled = [
        np.pad(displayable(row), [(0, columns - len(row)), *[(0, 0)] * 3], constant_values=1.0)
        for row in rows
    ]
    texts = [[*row, *[""] * (columns - len(row))] for row in captions or ()]
    return image_table(
        np.concatenate(filled),
        columns,
        own_range=False,
        headings=titles,
        captions=[text for row in texts for text in row] or None,
    )


def interpolation_strip(
    images: Images,
    weights: Sequence[float] | np.ndarray | None = None,
    *,
    title: str | None = None,
) -> matplotlib.figure.Figure:
    """Draw an interpolation, six steps per row: listing 7.10, which has six.

    Args:
        images: [N, H, W, C].
        weights: the weight of the second end in each image, written below it.
        title: title above the strip.
    """
    captions = None if weights is None else [f"{weight:.2f}" for weight in weights]
    return image_table(images, 6, own_range=False, captions=captions, title=title)


def _pairs(originals: Images, reconstructions: Images) -> tuple[np.ndarray, np.ndarray]:
    if np.shape(originals) != np.shape(reconstructions) or len(originals) == 0:
        raise ValueError(
            f"originals {np.shape(originals)} and reconstructions {np.shape(reconstructions)}"
            " must have the same shape, and be at least one"
        )
    return displayable(originals), displayable(reconstructions)
