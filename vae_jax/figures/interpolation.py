"""Draw decoded arithmetic and interpolations as tutorial 002 does, and animations.

Source: listings 7.9 (a row of four with its title) and 7.10 (six steps); the grid is torchvision's.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.figures.drawing import Images, displayable, new_figure
from vae_jax.figures.images import draw_grid
from vae_jax.files import replacing

if TYPE_CHECKING:
    import matplotlib.figure

_SHORTEST = 256  # least dots per side of an animation: a digit's 28 pixels would be tiny
_MILLISECONDS = 100  # per frame


def arithmetic_rows(rows: Sequence[np.ndarray], titles: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw rows of pictures, each below a red title: listing 7.9, which has one row.

    A row of four is 8 inches by 2, as there; longer ones get 2 inches per picture.

    Args:
        rows: the images of each row, [N, H, W, C], in [0, 1] or bytes, the result last.
        titles: one per row.

    Raises:
        ValueError: there are no rows, or another number of titles.
    """
    if not rows or len(titles) != len(rows):
        raise ValueError(f"{len(titles)} titles for {len(rows)} rows; at least one is needed")
    figure = new_figure((max(8, 2 * max(map(len, rows))), 2 * len(rows)), dpi=100)
    for number, (images, title) in enumerate(zip(rows, titles, strict=True)):
        axes = figure.add_subplot(len(rows), 1, number + 1)
        draw_grid(axes, images, num_columns=len(images), padding=1)
        axes.set_title(title, fontsize=10, color="r", parse_math=False)
    return figure


def interpolation_strip(images: Images) -> matplotlib.figure.Figure:
    """Draw an interpolation, six steps per row: listing 7.10, which has six.

    Args:
        images: [N, H, W, C].
    """
    figure = new_figure((6.4, 4.8), dpi=100)
    draw_grid(figure.add_subplot(), images, num_columns=6, padding=1)
    return figure


def save_animation(images: Images, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write an animated GIF that loops through the images and back, and return its path.

    Pixels become squares of several dots if the images are small; one channel is drawn dark on
    white. The file is written atomically.

    Args:
        images: [N, H, W, C], at least two.
        path: the file's path.
    """
    import PIL.Image

    stack = np.rint(displayable(images) * 255).astype(np.uint8)
    if stack.shape[-1] == 1:
        stack = 255 - stack[..., 0]
    scale = max(1, -(-_SHORTEST // max(stack.shape[1:3])))
    frames = []
    for image in stack.repeat(scale, axis=1).repeat(scale, axis=2):
        picture = PIL.Image.fromarray(image)
        frames.append(picture if picture.mode == "L" else picture.quantize(256))
    frames += frames[-2:0:-1]
    with replacing(path, parents=True) as (draft,):
        frames[0].save(
            draft,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=_MILLISECONDS,
            loop=0,
        )
    return pathlib.Path(path)
