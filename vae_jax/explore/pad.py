"""The pad of a two-dimensional latent space: its coordinates, and its drawing as SVG."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from vae_jax.typing import Float, Int

SIZE = 440
"""Pixels per side of the pad."""
COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    *("#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
)
"""Matplotlib's ``tab10``; more classes repeat the colours."""
_MARGIN = 0.03  # fraction of the range added on each side, so that no point is on the edge


class Pad(NamedTuple):
    """A square of a latent plane; the second dimension grows from bottom to top.

    >>> pad = Pad((-2.0, -2.0), (2.0, 2.0))
    >>> pad.to_pixels(np.array([2.0, 2.0])), pad.to_latent(0, 440).tolist()
    ((440.0, 0.0), [-2.0, -2.0])

    Attributes:
        low: the latent at the left and at the bottom.
        high: the latent at the right and at the top.
    """

    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def around(
        cls,
        low: Float[np.ndarray, " 2"],
        high: Float[np.ndarray, " 2"],
        points: Float[np.ndarray, "N 2"],
    ) -> Pad:
        """Return the pad that shows a range and all points beyond it."""
        least, most = np.min([low, *points], axis=0), np.max([high, *points], axis=0)
        margin = _MARGIN * (most - least)
        least, most = least - margin, most + margin
        return cls((float(least[0]), float(least[1])), (float(most[0]), float(most[1])))

    def to_pixels(self, z: Float[np.ndarray, " 2"]) -> tuple[float, float]:
        """Return a latent's position on the pad, from the left and from the top."""
        right, up = (
            SIZE * (float(value) - low) / (high - low)
            for value, low, high in zip(z, self.low, self.high, strict=True)
        )
        return right, SIZE - up

    def to_latent(self, x: int | float, y: int | float) -> Float[np.ndarray, " 2"]:
        """Return the latent at a position, clipped to the pad."""
        places = (min(max(x, 0), SIZE) / SIZE, min(max(SIZE - y, 0), SIZE) / SIZE)
        ends = zip(places, self.low, self.high, strict=True)
        return np.array([low + place * (high - low) for place, low, high in ends], np.float32)

    def background(self, points: Float[np.ndarray, "N 2"], labels: Int[np.ndarray, " N"]) -> str:
        """Return an SVG file of a grid with numbers, and points in their classes' colours."""
        parts = [f'<rect width="{SIZE}" height="{SIZE}" fill="#fcfcfd"/>']
        for value in _ticks(self.low[0], self.high[0]):
            x, _ = self.to_pixels(np.array([value, self.low[1]]))
            parts.append(_line(x, 0, x, SIZE, axis=value == 0))
            parts.append(_text(min(x + 3, SIZE - 22), SIZE - 5, value))
        for value in _ticks(self.low[1], self.high[1]):
            _, y = self.to_pixels(np.array([self.low[0], value]))
            parts.append(_line(0, y, SIZE, y, axis=value == 0))
            parts.append(_text(4, max(y - 3, 11), value))
        for point, label in zip(points, labels, strict=True):
            x, y = self.to_pixels(point)
            colour = COLOURS[label % len(COLOURS)]
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}" opacity="0.75"/>'
            )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIZE}" height="{SIZE}" '
            f'viewBox="0 0 {SIZE} {SIZE}">{"".join(parts)}</svg>'
        )

    def marker(self, z: Float[np.ndarray, " 2"]) -> str:
        """Return SVG elements that mark a latent, clipped to the pad."""
        x, y = (min(max(place, 0), SIZE) for place in self.to_pixels(z))
        ring = f'<circle cx="{x:.1f}" cy="{y:.1f}" fill="none"'
        return (
            f'<path d="M{x:.1f} 0V{SIZE}M0 {y:.1f}H{SIZE}" stroke="#33415555"/>'
            f'{ring} r="9" stroke="white" stroke-width="5"/>'
            f'{ring} r="9" stroke="#0f172a" stroke-width="2.5"/>'
        )


def _ticks(low: float, high: float) -> list[float]:
    """Return at most six round numbers inside a range."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _line(x1: int | float, y1: int | float, x2: int | float, y2: int | float, *, axis: bool) -> str:
    colour = "#94a3b8" if axis else "#e2e8f0"
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}"/>'


def _text(x: int | float, y: int | float, value: int | float) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="#64748b">{value:g}</text>'
    )
