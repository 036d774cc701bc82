"""A canvas for faces: polygons of plain colours at twice the picture's size."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np

SIZE = 256
_SCALE = 2  # the canvas is averaged down for smooth edges
_ANGLES = np.linspace(0, 2 * np.pi, 48)
# From the bottom clockwise over the left and the top: the points above a horizontal line are
# contiguous, from left to right.
_CIRCLE = np.stack([-np.sin(_ANGLES), np.cos(_ANGLES)], axis=1)
_EYES = np.array([0.0, -10.0])

Number = int | float
Colour = np.ndarray | tuple[Number, Number, Number]
"""Red, green and blue from 0 to 255, clipped to this range."""
Points = np.ndarray | Sequence[tuple[Number, Number]]
"""Corners [P, 2] as (x, y) pixels to the right of the face's centre and below it."""


class Canvas:
    """A picture to draw on.

    Args:
        corners: the background's colours: top left and right, bottom left and right.
        middle: position of the face's centre.
        size: scale of the face, about 1.
        tilt: rotation of the head about the eyes, in degrees clockwise.
    """

    def __init__(
        self, corners: Sequence[Colour], middle: tuple[float, float], size: float, tilt: float
    ):
        from PIL import Image, ImageDraw

        small = np.array(corners, np.float32).reshape(2, 2, 3).clip(0, 255).astype(np.uint8)
        canvas = (SIZE * _SCALE, SIZE * _SCALE)
        self._image = Image.fromarray(small).resize(canvas, Image.Resampling.BICUBIC)
        self._pen = ImageDraw.Draw(self._image)
        self._middle, self._size = np.array(middle), size
        cosine, sine = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
        self._turn = np.array([[cosine, sine], [-sine, cosine]])

    def fill(self, points: Points, colour: Colour, *, upright: bool = False) -> None:
        """Fill a polygon; ``upright`` ignores the tilt of the head."""
        placed = np.asarray(points) * self._size
        if not upright:
            placed = (placed - _EYES) @ self._turn + _EYES
        corners = ((placed + self._middle) * _SCALE).ravel().tolist()
        red, green, blue = (int(min(255, max(0, c))) for c in colour)
        self._pen.polygon(corners, fill=(red, green, blue))

    def picture(self, light: float) -> np.ndarray:
        """Return the picture, uint8 [256, 256, 3], lit by ``light`` from a side and from above."""
        small = np.asarray(self._image.reduce(_SCALE), np.float32)
        columns = np.linspace(-1, 1, SIZE, dtype=np.float32) * light
        rows = np.linspace(0.05, -0.05, SIZE, dtype=np.float32)
        lit = small * (1 + columns[None, :, None] + rows[:, None, None])
        return np.clip(lit + 0.5, 0, 255).astype(np.uint8)


def oval(x: Number, y: Number, width: Number, height: Number, corners: Number = 1) -> np.ndarray:
    """Return an ellipse about (x, y) with half axes width and height.

    ``corners`` below 1 makes it more rectangular. It starts at the bottom and goes clockwise.
    """
    shape = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** corners
    return np.add(shape * (width, height), (x, y))


def shade(colour: Colour, factor: float) -> np.ndarray:
    """Darken (a factor below 1) or lighten a colour."""
    return np.asarray(colour) * factor


def tone(hue: float, saturation: float, lightness: float) -> np.ndarray:
    """Return the colour of a hue, saturation and lightness, each from 0 to 1."""
    return 255 * np.array(colorsys.hls_to_rgb(hue, lightness, saturation))
