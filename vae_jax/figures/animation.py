"""Animations of interpolations."""

from __future__ import annotations

import os
import pathlib

import numpy as np

from vae_jax.figures.drawing import Images, displayable
from vae_jax.files import replacing

_SHORTEST = 256  # least dots per side of an animation: a digit's 28 pixels would be tiny
_MILLISECONDS = 100  # per frame


def save_animation(images: Images, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write an animated GIF that loops through the images and back, and return its path.

    Pixels become squares of several dots if the images are small. The file is written atomically.

    Args:
        images: [N, H, W, C], at least two.
        path: the file's path.
    """
    import PIL.Image

    stack = np.rint(displayable(images) * 255).astype(np.uint8)
    if stack.shape[-1] == 1:
        stack = stack[..., 0]
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
