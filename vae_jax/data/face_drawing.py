"""Draw faces from attributes.

The pictures replace the eyeglasses photographs of tutorial 002, section 7.4, which cannot be
shipped. They need not look real, but every attribute is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vae_jax.data.face_canvas import Canvas, Number, oval, shade, tone

NUM_VARIETY = 40  # more than any face uses
EYES_TURN = 9  # pixels by which the eyes move at the largest yaw
HAIR_COLOURS = {
    "black": (30, 26, 28),
    "brown": (96, 60, 36),
    "blond": (214, 178, 104),
    "red": (168, 74, 34),
    "grey": (158, 158, 162),
}


class Face(NamedTuple):
    """The attributes of a face.

    Attributes:
        glasses: whether the face has glasses.
        man: short hair and perhaps a beard; otherwise long hair and no beard.
        frame_lightness: lightness of the glasses, 0 black to 1 white; NaN without glasses.
        square_frame: rectangular rims; otherwise round ones.
        beard: whether a man has a beard.
        skin_lightness: 0 dark to 1 light.
        hair_colour: one of ``HAIR_COLOURS``.
        yaw: -1 turned to the picture's left, 1 to its right.
        tilt: rotation of the head, in degrees clockwise.
        smile: -1 sad to 1 happy.
        background_hue: 0 to 1, around the colour wheel.
        background_lightness: 0 to 1.
        variety: uniform numbers [NUM_VARIETY] that determine everything else: position, size,
            proportions, clothes, eyes.
    """

    glasses: bool
    man: bool
    frame_lightness: float
    square_frame: bool
    beard: bool
    skin_lightness: float
    hair_colour: str
    yaw: float
    tilt: float
    smile: float
    background_hue: float
    background_lightness: float
    variety: np.ndarray


def draw_face(face: Face) -> np.ndarray:
    """Draw a face, uint8 [256, 256, 3]."""
    drawing = _Drawing(face)
    drawing.body()
    drawing.head()
    drawing.mouth_and_nose()
    drawing.eyes()
    drawing.hair()
    if face.glasses:
        drawing.glasses()
    return drawing.canvas.picture(light=drawing.vary(-0.12, 0.12))


class _Drawing:
    """A drawing from back to front; every call of ``vary`` consumes one number of variety."""

    def __init__(self, face: Face):
        self.face, self._variety = face, iter(face.variety)
        vary, light = self.vary, face.skin_lightness
        corners = [
            tone(
                face.background_hue,
                0.2,
                float(np.clip(face.background_lightness + vary(-0.1, 0.1), 0, 1)),
            )
            for _ in range(4)
        ]
        size = vary(0.95, 1.05)
        # The eyes stay in place, as in photographs aligned by them, so a face that turns moves the
        # other way.
        middle = (128 - EYES_TURN * face.yaw + vary(-4, 4), 124 + vary(-4, 4))
        self.canvas = Canvas(corners, middle, size, face.tilt)
        self.width = (58 if face.man else 54) * vary(0.94, 1.06)
        self.height = 76 * vary(0.94, 1.06)
        self.jaw = (0.88 if face.man else 0.74) * vary(0.95, 1.05)
        warm = vary(-6, 6)
        self.skin = np.array([92 + 150 * light + warm, 58 + 140 * light, 40 + 128 * light - warm])
        self.hair_colour = shade(HAIR_COLOURS[face.hair_colour], vary(0.85, 1.15))

    def vary(self, low: Number, high: Number) -> float:
        """Scale the next number of variety to a range."""
        return low + (high - low) * float(next(self._variety))

    def body(self) -> None:
        """Draw long hair behind the shoulders, clothes and the neck."""
        man, fill = self.face.man, self.canvas.fill
        if not man:
            length, width = self.vary(70, 110), self.width * self.vary(1.25, 1.45)
            crown = oval(0, -12, width, 82)
            ends = [[width * 0.98, length], [-width * 0.98, length]]
            behind = np.concatenate([crown[crown[:, 1] < 0], ends])
            fill(behind, shade(self.hair_colour, 0.85))
        clothes = tone(self.vary(0, 1), 0.35, self.vary(0.2, 0.75))
        shoulders = (92 if man else 80) * self.vary(0.92, 1.08)
        fill(oval(0, 140, shoulders, 52), clothes, upright=True)
        neck = self.width * (0.55 if man else 0.42)
        column = [(-neck, 40), (neck, 40), (neck * 1.1, 102), (-neck * 1.1, 102)]
        fill(column, shade(self.skin, 0.82), upright=True)

    def outline(self, margin: Number) -> np.ndarray:
        """Return the head's outline [P, 2] with a margin: an ellipse, narrower at the chin."""
        shape = oval(0, 0, self.width + margin, self.height + margin)
        below = np.clip(shape[:, 1] / self.height, 0, 1)
        shape[:, 0] *= 1 - (1 - self.jaw) * below**1.5
        return shape

    def head(self) -> None:
        """Draw ears unless hair hides them, the head and a beard."""
        face, fill = self.face, self.canvas.fill
        for side in (-1, 1) if face.man else ():
            fill(oval(side * self.width - face.yaw * 5, 2, 9, 15), shade(self.skin, 0.9))
        fill(self.outline(0), self.skin)
        if face.beard:
            shape = self.outline(1.5)
            lower = shape[shape[:, 1] > 14]
            lower = lower[np.argsort(lower[:, 0])]
            inner = [(0.62, 26), (0.3, 30), (-0.3, 30), (-0.62, 26)]
            inner = [(x * self.width + face.yaw * 8, y) for x, y in inner]
            fill(np.concatenate([lower, inner]), self.hair_colour)

    def mouth_and_nose(self) -> None:
        """Draw curved lips and the shaded side of a nose."""
        face, shift = self.face, self.face.yaw * 11
        x, width = np.linspace(-1, 1, 9), self.vary(17, 23)
        curve = np.stack([x * width + shift, 42 + 9 * face.smile * (0.5 - x**2)], axis=1)
        thick = 2.6 if face.man else 4.2
        edge = np.stack([np.zeros(9), thick * (1 - x**2) + 1], axis=1)
        lips = 0.55 * self.skin + 0.45 * np.array([190, 40, 60])
        self.canvas.fill(np.concatenate([curve - edge, (curve + edge)[::-1]]), lips)
        nose, long = self.vary(7, 11), self.vary(16, 24)
        ridge, side = shift * 1.3, -1 if face.yaw > 0 else 1
        triangle = [(ridge * 0.5, 20 - long), (ridge + side * nose, 20), (ridge - side * 2, 22)]
        self.canvas.fill(triangle, shade(self.skin, 0.84))

    def eye_x(self, side: int) -> float:
        """Return the x position of the left (-1) or the right (1) eye."""
        return side * self.width * 0.44 + self.face.yaw * EYES_TURN

    def eyes(self) -> None:
        """Draw eyes that look where the head turns, and brows."""
        face, fill = self.face, self.canvas.fill
        height = self.vary(5.0, 7.5)
        iris = tone(self.vary(0.05, 0.65), 0.45, self.vary(0.2, 0.5))
        brow = -10 - self.vary(15, 20)
        low = 3.4 if face.man else 1.9
        bow = np.array([(-14, 2), (0, -2), (14, 1.5), (14, 1.5 + low), (0, low), (-14, 2 + low)])
        for side in (-1, 1):
            x = self.eye_x(side)
            fill(oval(x, -10, 11.5, height), (244, 244, 240))
            fill(oval(x + face.yaw * 2, -10, 5.2, min(5.2, height)), iris)
            fill(oval(x + face.yaw * 2, -10, 2.4, 2.4), (16, 14, 16))
            fill(np.add(bow * (side, 1), (x, brow)), shade(self.hair_colour, 0.8))

    def hair(self) -> None:
        """Draw the hair in front, down to the ears or the cheeks, with a parting."""
        man, shift = self.face.man, self.face.yaw * 4
        line = -self.height * self.vary(0.48, 0.66)  # where the forehead begins
        part = self.vary(-0.6, 0.6)
        shape = self.outline(self.vary(5, 13) + (0 if man else 4))
        reach = -2.0 if man else 34.0
        inside = self.width * (0.93 if man else 0.86)
        fringe = [
            (inside + shift, reach),
            (inside * 0.9 + shift, line + 14),
            (inside * part + shift, line - 6),
            (-inside * 0.9 + shift, line + 14),
            (-inside + shift, reach),
        ]
        crown = shape[shape[:, 1] < reach]
        self.canvas.fill(np.concatenate([crown, fringe]), self.hair_colour)

    def glasses(self) -> None:
        """Draw two rims, the visible temples and the bridge."""
        face, fill = self.face, self.canvas.fill
        tint, value = self.vary(-10, 10), 18 + 226 * face.frame_lightness
        frame = (value + tint, value, value - tint)
        thick = self.vary(3.6, 5.2)
        width, height = self.vary(21, 24), self.vary(16, 20)
        corners = 0.4 if face.square_frame else 1.0
        for side in (-1, 1):
            x = self.eye_x(side)
            outer = oval(x, -8, width, height, corners)
            inner = oval(x, -8, width - thick, height - thick, corners)
            fill(np.concatenate([outer, inner[::-1]]), frame)
            start, end = x + side * width, side * self.width - face.yaw * 4
            if (end - start) * side > 0:
                fill([(start - side, -13), (end, -15), (end, -11), (start - side, -8)], frame)
        left, right = self.eye_x(-1) + width, self.eye_x(1) - width
        top, bottom = -10, -10 + thick
        fill([(left, top), (right, top), (right, bottom), (left, bottom)], frame)
