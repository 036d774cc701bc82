"""Functions that all figures share: grids of images, empty figures and safe writing."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.files import replacing
from vae_jax.typing import Image, Pixels

if TYPE_CHECKING:
    import matplotlib.figure

Images = Image | Pixels
"""Images in [0, 1] or bytes."""


def make_grid(
    images: Images, num_columns: int, padding: int = 2, pad_value: float = 0.0
) -> np.ndarray:
    """Arrange images in rows, like ``torchvision.utils.make_grid``.

    Args:
        images: [N, H, W, C]; a single channel is repeated three times.
        num_columns: images per row (torchvision's ``nrow``).
        padding: pixels around and between the images.
        pad_value: value of these pixels, and of free places in the last row.

    Returns:
        [H', W', C] in the dtype given. A single image is returned without padding.

    Raises:
        ValueError: there are no images or no columns.
    """
    stack = np.asarray(images)
    if len(stack) == 0 or num_columns < 1:
        raise ValueError(f"a grid of {len(stack)} images in {num_columns} columns")
    if stack.shape[-1] == 1:
        stack = np.repeat(stack, 3, axis=-1)
    num_images, height, width, channels = stack.shape
    if num_images == 1:
        return stack[0]
    columns = min(num_columns, num_images)
    rows = -(-num_images // columns)
    step_y, step_x = height + padding, width + padding
    shape = (rows * step_y + padding, columns * step_x + padding, channels)
    grid = np.full(shape, pad_value, stack.dtype)
    for index, image in enumerate(stack):
        top = index // columns * step_y + padding
        left = index % columns * step_x + padding
        grid[top : top + height, left : left + width] = image
    return grid


def save_figure(fig: matplotlib.figure.Figure, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write a figure as PNG atomically, creating parent folders, and return the path."""
    with replacing(path, parents=True) as (draft,):
        # Leave out Matplotlib's version, so that the same figure gives the same file.
        fig.savefig(draft, format="png", dpi="figure", metadata={"Software": None})
    return pathlib.Path(path)


def new_figure(size: tuple[int | float, int | float], dpi: int | float) -> matplotlib.figure.Figure:
    """Return an empty figure of a size in inches, with its own canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def displayable(images: object) -> np.ndarray:
    """Return images as float32 in [0, 1]; NaN of a diverged model becomes 0."""
    array = np.asarray(images)
    scaled = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    return np.clip(np.nan_to_num(scaled, nan=0.0), 0.0, 1.0)
