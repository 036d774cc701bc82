"""The pictures, as the tutorials draw them; every figure is made and returned, none is shown.

Matplotlib's figures are used as objects, without pyplot: there is no global state, no display
is needed, and threads do not meet. The layouts are those of tutorial 002 (listings 7.2 and 7.6
and section 7.4.3); `make_grid` is torchvision's.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.typing import Image, Pixels

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Images = Image | Pixels
"""Images in [0, 1] or bytes."""


def make_grid(
    images: Images, num_columns: int, padding: int = 2, pad_value: float = 0.0
) -> np.ndarray:
    """Lays images out in rows, with the semantics of `torchvision.utils.make_grid`.

    Args:
      images: [N, H, W, C]; with one channel, it is repeated three times.
      num_columns: images a row (torchvision's `nrow`).
      padding: pixels around and between the images.
      pad_value: their value, and that of the places left in the last row.

    Returns:
      [H', W', C] of the dtype given. One image alone comes back as it is, without padding.

    Raises:
      ValueError: if there are no images, or no columns.
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


def reconstruction_rows(originals: Images, reconstructions: Images) -> matplotlib.figure.Figure:
    """Draws originals above their reconstructions: the tutorial's `plot_digits` (listing 7.2).

    As there, a one-channel image is drawn from its own smallest value (white) to its own
    largest (black): an untrained model's faint noise shows at full contrast.

    Args:
      originals: [N, H, W, C].
      reconstructions: the same shape.
    """
    _require_pairs(originals, reconstructions)
    figure = _new_figure((10, 2), dpi=50)
    count = len(originals)
    for place, image in enumerate([*_displayable(originals), *_displayable(reconstructions)]):
        axes = figure.add_subplot(2, count, place + 1)
        axes.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="binary")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def sample_grid(images: Images) -> matplotlib.figure.Figure:
    """Draws samples, six a row: the tutorial's `plot_epoch` (listing 7.6), of 18 images.

    Args:
      images: [N, H, W, C].
    """
    return _grid_figure(images, num_columns=6, padding=3, size=(6, 3))


def reconstruction_grid(originals: Images, reconstructions: Images) -> matplotlib.figure.Figure:
    """Draws rows of eight originals, each above the row of their reconstructions (figure 7.7).

    The tutorial draws 16: rows 1 and 3 are originals, rows 2 and 4 reconstructions. An
    incomplete last row of originals is filled up with blanks, so that each reconstruction
    stays below its original.

    Args:
      originals: [N, H, W, C].
      reconstructions: the same shape.
    """
    _require_pairs(originals, reconstructions)
    pairs = np.stack([_displayable(originals), _displayable(reconstructions)])
    count = pairs.shape[1]
    columns = min(8, count)
    pairs = np.pad(pairs, [(0, 0), (0, -count % columns), (0, 0), (0, 0), (0, 0)])
    rows = pairs.reshape(2, -1, columns, *pairs.shape[2:])
    stack = rows.swapaxes(0, 1).reshape(-1, *pairs.shape[2:])
    return _grid_figure(stack, num_columns=columns, padding=4, size=(8, 4))


def loss_curve(
    steps: Sequence[Any] | np.ndarray,
    losses: Sequence[Any] | np.ndarray,
    *,
    label: str,
    x_label: str = "epoch",
) -> matplotlib.figure.Figure:
    """Draws a loss over steps or epochs.

    Args:
      steps: the horizontal axis, [N].
      losses: the vertical axis, [N].
      x_label: what the horizontal axis counts.
      label: what the loss is and its unit, such as "negative ELBO (nats an image)".
    """
    figure = _new_figure((6, 4), dpi=100)
    axes = figure.add_subplot()
    # A curve of one point would be invisible without its marker.
    axes.plot(steps, losses, marker="." if len(steps) < 50 else "")
    axes.set_xlabel(x_label)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    return figure


def save_figure(fig: matplotlib.figure.Figure, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a figure as PNG, whole or not at all, and makes the folders on the way.

    Returns:
      The path.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".figure-", dir=target.parent) as folder:
        partial = pathlib.Path(folder, "figure.png")
        # Without the version of Matplotlib in it, the same figure gives the same file.
        fig.savefig(partial, format="png", dpi="figure", metadata={"Software": None})
        os.replace(partial, target)
    return target


def _new_figure(size: tuple[int, int], dpi: int) -> matplotlib.figure.Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def _grid_figure(
    images: Images, num_columns: int, padding: int, size: tuple[int, int]
) -> matplotlib.figure.Figure:
    grid = make_grid(_displayable(images), num_columns, padding)
    figure = _new_figure(size, dpi=100)
    axes = figure.add_subplot()
    if np.shape(images)[-1] == 1:
        axes.imshow(grid[..., 0], cmap="binary", vmin=0, vmax=1)
    else:
        axes.imshow(grid)
    axes.set_axis_off()
    return figure


def _displayable(images: Any) -> np.ndarray:
    """As float32 in [0, 1]; what a diverged model gives (not a number) is drawn as 0."""
    array = np.asarray(images)
    scaled = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    return np.clip(np.nan_to_num(scaled, nan=0.0), 0.0, 1.0)


def _require_pairs(originals: Any, reconstructions: Any) -> None:
    if np.shape(originals) != np.shape(reconstructions) or len(originals) == 0:
        raise ValueError(
            f"originals {np.shape(originals)} and reconstructions {np.shape(reconstructions)}"
            " must be as many, and at least one"
        )
