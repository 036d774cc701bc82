"""The largest errors that pass, by the kind of tensor.

In float64 a tolerance is an error relative to the tensor's scale. Below float64 no such number
means anything, because correct programs round differently and training magnifies it: there the
tolerance is of the error ratio, the port's distance from the truth (the reference run in float64)
by the reference's own in the same precision: root mean square over the tensor, and of gradients and
what follows from them the median over the batches they were measured on. Of a run of training steps
only the losses are judged there, the worst of the port and of the reference, and the rest is
plotted: each of them leaves the truth's branch of some ReLU at a step of its own, and training
magnifies that. Single steps are judged, and the optimiser by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from vae_jax.parity.stages import Kind, Stage


class _Model(NamedTuple):
    """How far a model magnifies rounding.

    Attributes:
        losses: the largest relative error of a loss term in a float64 run of training steps.
        gradients_ratio: the largest error ratio of a gradient below float64.
        trained: the largest relative error of weights, moments and statistics after a float64 run.
    """

    losses: float = 1e-12
    gradients_ratio: float = 4.0
    trained: float = 1e-11


_MODELS = {
    "face_vae": _Model(trained=1e-8),
    # Its head starts near zero, where the divergence's gradient, -1/std, magnifies rounding.
    "stddev_vae": _Model(losses=1e-11, gradients_ratio=8.0, trained=1e-10),
}


class Tolerances(NamedTuple):
    """Tolerances of a comparison.

    Attributes:
        relative: largest relative errors, where no reference error is known.
        ratio: largest error ratios, where one is.
        losses_floor: below float64, the least reference error that the losses of a run are measured
            by, both the worst over its steps.
    """

    relative: Mapping[Kind, float]
    ratio: Mapping[Kind, float]
    losses_floor: float = 5e-6

    def of(self, stage: Stage, *, zero_gradient: bool = False, by_ratio: bool) -> float:
        """Return the tolerance of a stage, or of its zero-gradient tensors."""
        if by_ratio and stage.is_plotted_only:
            return math.inf
        # Zero gradients themselves are measured on their layer's scale, and small like the others.
        fed_by_noise = zero_gradient and stage.kind is not Kind.GRADIENTS
        return (self.ratio if by_ratio else self.relative)[
            Kind.ZERO_GRADIENT if fed_by_noise else stage.kind
        ]


def tolerances_of(name: str | None = None) -> Tolerances:
    """Return the tolerances of one of the package's models, or of any other model."""
    model = _MODELS.get(name or "", _Model())
    relative = {
        Kind.WEIGHTS_AND_INPUTS: 1e-14,  # the same bits, but for the order of a digest's sums
        Kind.STRUCTURE: 0.0,
        Kind.READ_BACK: 0.0,
        Kind.ACTIVATIONS: 1e-13,
        Kind.OUTPUTS: 1e-13,
        Kind.LOSS_TERMS: model.losses,
        Kind.LOSSES: model.losses,
        Kind.GRADIENTS: 1e-12,
        Kind.UPDATES: 1e-13,
        Kind.PARAMETERS: model.trained,
        Kind.FIRST_MOMENT: model.trained,
        Kind.SECOND_MOMENT: model.trained,
        Kind.STATISTICS: model.trained,
        Kind.ZERO_GRADIENT: 1e-6,
    }
    # Aimed at: 2 everywhere, 1 in the median. Over five seeds of every model the worst was at most
    # 3.6, but for stddev_vae's gradients (5.5) and weights (11): few numbers make an uncertain
    # ratio, and squares double a relative error.
    ratio = {
        Kind.ACTIVATIONS: 3.0,
        Kind.OUTPUTS: 3.0,
        Kind.LOSS_TERMS: 4.0,
        Kind.LOSSES: 2.0,
        Kind.GRADIENTS: model.gradients_ratio,
        Kind.UPDATES: 2.0,
        # Adam divides a gradient by its own size: where that is rounding noise, so is a whole step.
        Kind.PARAMETERS: 20.0,
        Kind.FIRST_MOMENT: model.gradients_ratio,
        Kind.SECOND_MOMENT: 2 * model.gradients_ratio,
        Kind.STATISTICS: 3.0,
        Kind.ZERO_GRADIENT: model.gradients_ratio,
    }
    # What magnifies float64's rounding magnifies float32's as much.
    return Tolerances(relative, ratio, losses_floor=5e-6 * model.losses / 1e-12)
