"""Figures of the study: some of the faces with the classifier's verdict, and its curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.figures.drawing import displayable, new_figure

from .classifier import Predictions

if TYPE_CHECKING:
    import matplotlib.figure


def verdict_grid(
    rows: Mapping[str, tuple[np.ndarray, Predictions]], glasses: bool, man: bool, title: str
) -> matplotlib.figure.Figure:
    """Draw faces in rows, each under what the classifier sees: green where that is right, else red.

    Args:
        rows: of each row's name its pictures [N, H, W, C] and what the classifier sees in them.
        glasses: whether they should have glasses.
        man: whether they should be men.
        title: of the whole.
    """
    columns = max(len(pictures) for pictures, _ in rows.values())
    figure = new_figure((1.5 * columns + 1.2, 1.85 * len(rows) + 0.5), dpi=100)
    table = figure.subplots(len(rows), columns, squeeze=False)
    for axes in table.flat:
        axes.set_axis_off()
    for line, (name, (pictures, seen)) in zip(table, rows.items(), strict=True):
        line[0].text(-0.08, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
        verdicts = np.stack([seen[name] > 0.5 for name in ("glasses", "man", "one")], axis=1)
        for axes, picture, found in zip(
            line, displayable(pictures), verdicts.tolist(), strict=False
        ):
            axes.imshow(picture)
            verdict = f"{'man' if found[1] else 'woman'}, {'' if found[0] else 'no '}glasses"
            verdict = verdict if found[2] else "not one face"
            right = found == [glasses, man, True]
            axes.set_title(verdict, fontsize=9, color="green" if right else "red")
    figure.suptitle(title)
    figure.tight_layout(pad=0.4)
    return figure


def curves_figure(curves: Mapping[str, np.ndarray], label: str) -> matplotlib.figure.Figure:
    """Draw predictions along interpolations: the mean of all, the middle half of them as a band.

    Args:
        curves: of each space's name its values [P, S].
        label: what is seen.
    """
    figure = new_figure((3 * len(curves) + 0.6, 3), dpi=100)
    table = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(table, curves.items(), strict=True):
        place = np.linspace(0, 1, values.shape[1])
        low, high = np.quantile(values, (0.25, 0.75), axis=0)
        axes.plot(place, values[:10].T, color="0.75", linewidth=0.7)
        axes.fill_between(place, low, high, alpha=0.3)
        axes.plot(place, values.mean(axis=0), linewidth=2)
        axes.set(title=name, xlabel="from start to end", xlim=(0, 1), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
    table[0].set_ylabel(label)
    figure.tight_layout()
    return figure
