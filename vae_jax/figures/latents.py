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
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
"""Ten colours that people with colour blindness can tell apart (M. Petroff, arXiv:2107.02270)."""
_MARKERS = "os^DvP*X"  # another one for every further ten classes
_ALPHA = 0.7  # overlapping points show through


def latent_scatter(
    points: Latent,
    labels: Labels,
    *,
    title: str,
    class_names: Sequence[str] | None = None,
) -> matplotlib.figure.Figure:
    """Plot points of a two-dimensional latent space in the colours of their classes.

    The tutorial has no legend; here the classes that occur are named beside the plot. Every ten
    classes have ten colours and a marker of their own. Up to 1000 points have the tutorial's size,
    more have smaller ones. Points that are not finite are left out.

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

    from matplotlib.lines import Line2D

    present = np.unique(number)
    legend_columns = -(-len(present) // 18)
    figure = new_figure((5.5 + 1.5 * legend_columns, 5), dpi=100)
    axes = figure.add_subplot()
    for tens in np.unique(number // 10).tolist():
        chosen = number // 10 == tens
        colours = np.asarray(COLOURS)[number[chosen] % 10]
        axes.scatter(
            *place[chosen].T, s=_area(len(place)), c=colours, marker=_marker(tens), alpha=_ALPHA
        )
    axes.set(xlabel="dimension 0", ylabel="dimension 1", title=title)
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=_marker(int(label) // 10),
            color=COLOURS[label % 10],
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
    axes.scatter(*place[~known].T, s=_area(len(place)), c="lightgrey", alpha=_ALPHA)
    dots = axes.scatter(
        *place[known].T, s=_area(len(place)), c=value[known], cmap="viridis", alpha=_ALPHA
    )
    axes.set(xlabel="dimension 0", ylabel="dimension 1", title=title)
    figure.set_layout_engine("constrained")  # before the colour bar, which depends on it
    figure.colorbar(dots, ax=axes, label=name)
    return figure


def _area(count: int) -> float:
    """Return the area of a dot in square points."""
    return 36 * min(1.0, max(0.1, 1000 / count))


def _marker(tens: int) -> str:
    return _MARKERS[tens % len(_MARKERS)]
