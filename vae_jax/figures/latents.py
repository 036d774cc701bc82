"""Plot points of a two-dimensional latent space by class or value, as tutorial 004 does.

Source: the tutorial's cells 9 and 17 (encoder means and standard deviations of 1000 digits).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.figures.drawing import new_figure
from vae_jax.typing import Labels, Latent, PerExample

if TYPE_CHECKING:
    import matplotlib.figure

COLOURS = (
    "blue",
    "red",
    "green",
    "yellow",
    "pink",
    "cyan",
    "brown",
    "orange",
    "limegreen",
    "blueviolet",
)
"""The tutorial's colours of the digits 0 to 9."""


def latent_scatter(
    points: Latent,
    labels: Labels,
    *,
    title: str,
    class_names: Sequence[str] | None = None,
) -> matplotlib.figure.Figure:
    """Plot points of a two-dimensional latent space in the colours of their classes.

    Points are drawn in the order given, as in the tutorial. The tutorial has no legend; here the
    classes that occur are named beside the plot. Up to ten classes have the tutorial's colours;
    more cycle through Matplotlib's ``tab20``. Up to 1000 points have the tutorial's dot size, more
    have smaller dots. Points that are not finite are left out.

    Args:
        points: [N, 2], such as means or standard deviations.
        labels: class number of each point, [N], from 0.
        title: what the points are; the tutorial's are "Mean" and "Std".
        class_names: names of the classes in the order of their numbers; None shows the numbers.

    Raises:
        ValueError: points and labels are not [N, 2] and [N] with N at least 1, or a label is
            negative or has no name.
    """
    place, number = np.asarray(points), np.asarray(labels)
    if place.shape != (len(number), 2) or len(number) == 0:
        raise ValueError(
            f"points {place.shape} and labels {number.shape} must be [N, 2] and [N], N at least 1"
        )
    count = number.max() + 1 if class_names is None else len(class_names)
    if number.min() < 0 or number.max() >= count:
        raise ValueError(f"labels {number.min()} to {number.max()} for {count} classes from 0")

    from matplotlib import colormaps
    from matplotlib.colors import to_rgba_array
    from matplotlib.lines import Line2D

    palette = to_rgba_array(COLOURS) if count <= 10 else colormaps["tab20"](np.arange(20))
    present = np.unique(number)
    legend_columns = -(-len(present) // 18)
    figure = new_figure((5.5 + 1.5 * legend_columns, 5), dpi=100)
    axes = figure.add_subplot()
    axes.scatter(*place.T, s=_area(len(place)), c=palette[number % len(palette)])
    axes.set(xlabel="Dimension 1", ylabel="Dimension 2", title=title)
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            color=tuple(palette[label % len(palette)]),
            label=str(label) if class_names is None else class_names[label],
        )
        for label in present
    ]
    # Put the legend beside the axes, where it hides no points.
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        borderaxespad=0,
        ncols=legend_columns,
    )
    figure.set_layout_engine("constrained")
    return figure


def value_scatter(
    points: Latent, values: PerExample, *, title: str, name: str
) -> matplotlib.figure.Figure:
    """Plot points of a two-dimensional latent space in colours that show a value.

    Args:
        points: [N, 2], N at least 1.
        values: value of each point, [N]; points with values that are not finite are grey.
        title: what the points are.
        name: what the values are, written beside the colour bar.

    Raises:
        ValueError: points and values are not [N, 2] and [N] with N at least 1.
    """
    place, value = np.asarray(points), np.asarray(values, np.float64)
    if place.shape != (len(value), 2) or len(value) == 0:
        raise ValueError(f"points {place.shape} and values {value.shape} must be [N, 2] and [N]")
    figure = new_figure((7, 5), dpi=100)
    axes, known = figure.add_subplot(), np.isfinite(value)
    axes.scatter(*place[~known].T, s=_area(len(place)), c="lightgrey")
    dots = axes.scatter(*place[known].T, s=_area(len(place)), c=value[known], cmap="viridis")
    axes.set(xlabel="Dimension 1", ylabel="Dimension 2", title=title)
    figure.set_layout_engine("constrained")  # before the colour bar, which depends on it
    figure.colorbar(dots, ax=axes, label=name)
    return figure


def _area(count: int) -> float:
    """Return the area of a dot in square points."""
    return 36 * min(1.0, max(0.1, 1000 / count))
