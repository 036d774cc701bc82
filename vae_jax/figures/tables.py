"""Draw tables of pictures, as tutorial 004 does for samples, manifolds and comparisons.

Source: the tutorial's ``show_image`` (10 x 20 samples), its cell 10 (20 x 20 manifold) and cell 11
(2 x 10: posterior above prior). The tutorial makes one axes per picture, which takes seconds for
400; here all are one image, made dot by dot at the size it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.figures.drawing import Images, displayable, new_figure

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_GAP = 0.05  # fraction of a picture: the tutorial's wspace and hspace
_INCHES = 12  # largest width and height of a table
_DPI = 100
_LARGEST = 200  # most dots per side of a picture, so that a few pictures do not fill the width
_BORDER = 0.1  # inches around everything


def image_table(
    images: Images,
    num_columns: int,
    *,
    cmap: str = "gray",
    own_range: bool = True,
    row_titles: Sequence[str] | None = None,
    title: str | None = None,
) -> matplotlib.figure.Figure:
    """Draw pictures row by row with thin white gaps: the tutorial's ``GridSpec`` tables.

    The table without titles is at most 12 inches wide and high. A pixel is a square of whole dots;
    if the pictures have more pixels than fit, the figure gets more dots per inch.

    Args:
        images: [N, H, W, C] with one or three channels; free places in the last row stay white.
        num_columns: pictures per row.
        cmap: Matplotlib's colour map for one-channel pictures.
        own_range: scale each one-channel picture from its smallest to its largest value, as the
            tutorial's ``imshow`` does, so that a faint picture shows at full contrast; otherwise
            from 0 to 1, as colour pictures always are.
        row_titles: titles to the left of the rows.
        title: title above the table.

    Raises:
        ValueError: there are no pictures or columns, or another number of channels or row titles.
    """
    stack = np.asarray(images)
    if len(stack) == 0 or num_columns < 1 or stack.shape[-1] not in (1, 3):
        raise ValueError(
            f"images {stack.shape} in {num_columns} columns: at least one image of 1 or 3"
            " channels and one column are needed"
        )
    columns = min(num_columns, len(stack))
    rows = -(-len(stack) // columns)
    if row_titles is not None and len(row_titles) != rows:
        raise ValueError(f"{len(row_titles)} row titles for {rows} rows")

    mosaic = _mosaic(_coloured(stack, cmap, own_range), rows, columns)
    figure = new_figure((1, 1), dpi=max(_DPI, max(mosaic.shape) / _INCHES))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(mosaic, interpolation="nearest")
    axes.set_axis_off()
    _fit(axes, mosaic.shape[:2], row_titles or (), title)
    return figure


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


def _coloured(stack: np.ndarray, cmap: str, own_range: bool) -> np.ndarray:
    """Convert pictures to bytes, [N, H, W, 3]."""
    from matplotlib import colormaps

    if stack.shape[-1] == 3:
        return np.rint(displayable(stack) * 255).astype(np.uint8)
    values = (_stretched(stack) if own_range else displayable(stack))[..., 0]
    colours = colormaps[cmap]
    # Matplotlib truncates colours to bytes instead of rounding, which darkens a tenth by one.
    table = np.rint(colours(np.arange(colours.N))[:, :3] * 255).astype(np.uint8)
    return table[np.minimum((values * colours.N).astype(np.intp), colours.N - 1)]


def _stretched(stack: np.ndarray) -> np.ndarray:
    """Scale each picture's finite values to 0 to 1.

    NaN counts as the smallest value; a picture with a single value becomes 0, as in Matplotlib.
    """
    values = stack.astype(np.float64)
    finite = np.isfinite(values)
    low, high = (
        np.where(finite.any(axis=(1, 2, 3), keepdims=True), bound, 0.0)
        for bound in (
            values.min(axis=(1, 2, 3), keepdims=True, where=finite, initial=np.inf),
            values.max(axis=(1, 2, 3), keepdims=True, where=finite, initial=-np.inf),
        )
    )
    values = np.clip(np.where(np.isnan(values), low, values), low, high)
    return (values - low) / np.where(high > low, high - low, 1.0)


def _mosaic(pictures: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Arrange pictures [N, H, W, 3] on white, each pixel as a square of whole dots."""
    height, width = pictures.shape[1:3]
    dots = _INCHES * _DPI / (1 + _GAP)
    scale = int(
        min(dots / (columns * width), dots / (rows * height), _LARGEST / max(height, width))
    )
    large = pictures.repeat(max(1, scale), axis=1).repeat(max(1, scale), axis=2)
    height, width = large.shape[1:3]
    step_y, step_x = height + _gap(height), width + _gap(width)
    shape = (rows * step_y - _gap(height), columns * step_x - _gap(width), 3)
    mosaic = np.full(shape, 255, np.uint8)
    for index, picture in enumerate(large):
        top, left = index // columns * step_y, index % columns * step_x
        mosaic[top : top + height, left : left + width] = picture
    return mosaic


def _gap(size: int) -> int:
    return max(1, round(_GAP * size))


def _fit(
    axes: matplotlib.axes.Axes,
    size: tuple[int, ...],
    row_titles: Sequence[str],
    title: str | None,
) -> None:
    """Add titles, and size the figure so that each dot of the mosaic is a dot of the figure."""
    figure, (height, width) = axes.get_figure(root=True), size
    assert figure is not None
    border = math.ceil(_BORDER * figure.dpi)
    names = [
        axes.annotate(
            name,
            (0, (row + 0.5) / len(row_titles)),
            (-6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="center",
        )
        for row, name in enumerate(reversed(row_titles))
    ]
    left = right = top = border
    if names:
        left += max(math.ceil(name.get_window_extent().width) for name in names) + border
    if title:
        extent = axes.set_title(title).get_window_extent()
        top += math.ceil(extent.height) + border
        overhang = math.ceil((extent.width - width) / 2) + border
        left, right = max(left, overhang), max(right, overhang)
    whole_width, whole_height = left + width + right, top + height + border
    # Add a hundredth of a dot, because Matplotlib rounds a size of 999.9999 dots down.
    figure.set_size_inches((whole_width + 0.01) / figure.dpi, (whole_height + 0.01) / figure.dpi)
    axes.set_position(
        (
            left / whole_width,
            border / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )
