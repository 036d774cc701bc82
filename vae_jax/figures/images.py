"""Rows and grids of reconstructions and samples, in the layouts of tutorial 002.

Source: listings 7.2 and 7.6 and section 7.4.3 of the tutorial; the grid is torchvision's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.figures.drawing import Images, displayable, make_grid, new_figure

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure


def reconstruction_rows(originals: Images, reconstructions: Images) -> matplotlib.figure.Figure:
    """Draw originals above their reconstructions: the tutorial's ``plot_digits`` (listing 7.2).

    As there, a one-channel image is drawn from its smallest value (white) to its largest (black),
    so an untrained model's faint noise shows at full contrast.

    Args:
        originals: [N, H, W, C].
        reconstructions: the same shape.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.gridspec import GridSpec

    _require_pairs(originals, reconstructions)
    figure = new_figure((10, 2), dpi=50)
    # Draw all images on one axes: creating 20 would take a third of a second per epoch.
    axes, frames = figure.add_axes((0, 0, 1, 1)), list[Any]()
    grid = GridSpec(2, len(originals), figure=figure)
    images = [*displayable(originals), *displayable(reconstructions)]
    for cell, image in zip((place.get_position(figure) for place in grid), images, strict=True):
        height, width = image.shape[:2]
        frame = cell.shrunk_to_aspect(height / width, fig_aspect=0.2).anchored("C", cell)
        x0, y0, x1, y1 = frame.extents
        shown = image[..., 0] if image.shape[-1] == 1 else image
        axes.imshow(shown, cmap="binary", extent=(x0, x1, y0, y1), aspect="auto")
        frames += [[(x0, y), (x1, y)] for y in (y0, y1)] + [[(x, y0), (x, y1)] for x in (x0, x1)]
    axes.add_collection(
        LineCollection(frames, linewidths=0.8, colors="black", capstyle="projecting")
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
    return figure


def sample_grid(images: Images) -> matplotlib.figure.Figure:
    """Draw samples, six per row: the tutorial's ``plot_epoch`` (listing 7.6), with 18 images.

    Args:
        images: [N, H, W, C].
    """
    return _grid_figure(images, num_columns=6, padding=3, size=(6, 3))


def reconstruction_grid(originals: Images, reconstructions: Images) -> matplotlib.figure.Figure:
    """Draw rows of eight originals, each above the row of their reconstructions (figure 7.7).

    The tutorial draws 16: rows 1 and 3 are originals, rows 2 and 4 reconstructions. An incomplete
    last row of originals is padded with blanks, so that each reconstruction stays below its
    original.

    Args:
        originals: [N, H, W, C].
        reconstructions: the same shape.
    """
    _require_pairs(originals, reconstructions)
    pairs = np.stack([displayable(originals), displayable(reconstructions)])
    count = pairs.shape[1]
    columns = min(8, count)
    pairs = np.pad(pairs, [(0, 0), (0, -count % columns), (0, 0), (0, 0), (0, 0)])
    rows = pairs.reshape(2, -1, columns, *pairs.shape[2:])
    stack = rows.swapaxes(0, 1).reshape(-1, *pairs.shape[2:])
    return _grid_figure(stack, num_columns=columns, padding=4, size=(8, 4))


def draw_grid(axes: matplotlib.axes.Axes, images: Images, num_columns: int, padding: int) -> None:
    """Draw images as a grid on axes without a frame; one channel is dark on white.

    Args:
        axes: the axes to draw on.
        images: [N, H, W, C].
        num_columns: images per row.
        padding: pixels around and between the images.
    """
    grid = make_grid(displayable(images), num_columns, padding)
    if np.shape(images)[-1] == 1:
        axes.imshow(grid[..., 0], cmap="binary", vmin=0, vmax=1)
    else:
        axes.imshow(grid)
    axes.set_axis_off()


def _grid_figure(
    images: Images, num_columns: int, padding: int, size: tuple[int, int]
) -> matplotlib.figure.Figure:
    figure = new_figure(size, dpi=100)
    draw_grid(figure.add_subplot(), images, num_columns, padding)
    return figure


def _require_pairs(originals: Any, reconstructions: Any) -> None:
    if np.shape(originals) != np.shape(reconstructions) or len(originals) == 0:
        raise ValueError(
            f"originals {np.shape(originals)} and reconstructions {np.shape(reconstructions)}"
            " must have the same shape, and be at least one"
        )
