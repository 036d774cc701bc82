"""Loss curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.figures.drawing import new_figure

if TYPE_CHECKING:
    import matplotlib.figure


def loss_curve(
    steps: Sequence[Any] | np.ndarray,
    losses: Sequence[Any] | np.ndarray,
    *,
    label: str,
    x_label: str = "epoch",
) -> matplotlib.figure.Figure:
    """Draw a loss over steps or epochs.

    Args:
        steps: the horizontal axis, [N].
        losses: the vertical axis, [N].
        x_label: what the horizontal axis counts.
        label: what the loss is and its unit, such as "negative ELBO (nats per image)".
    """
    figure = new_figure((6, 4), dpi=100)
    axes = figure.add_subplot()
    # A curve of one point would be invisible without a marker.
    axes.plot(steps, losses, marker="." if len(steps) < 50 else "")
    axes.set_xlabel(x_label)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    return figure
