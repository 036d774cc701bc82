"""The largest errors that pass, by stage.

In float64 a tolerance is an error relative to the tensor's scale. Below float64 no such number
means anything, because correct programs round differently and training magnifies it: there the port
may be K times as far from the truth, the reference run in float64, as the reference itself is in
the same precision: root mean square over the tensor, and of gradients and what follows from them
the median over the batches they were measured on. Of a run of training steps only the losses are
judged there, the worst of the port and of the reference, and the rest is plotted: each of them
leaves the truth's branch of some ReLU at a step of its own, and training magnifies that. Single
steps are judged, and the optimiser by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

# Aimed at: 2 everywhere, 1 in the median. Over five seeds of every model the worst of each stage
# were 2.0, 1.6, 2.8, 3.6 (stddev_vae 5.5, see below), 0.8, 1.8 and 11; few numbers make an
# uncertain ratio, and squares double a relative error.
_K = {
    "activations": 3.0,
    "posterior heads": 3.0,
    "outputs": 3.0,
    "loss terms": 4.0,
    "losses": 2.0,
    "optimiser": 2.0,
    "statistics": 3.0,
    # Adam divides a gradient by its own size: where that is rounding noise, a whole step is noise.
    "weights": 20.0,
}
NOISE_FED = "noise-fed"  # ends the stages of tensors that a Reference calls so

_EXACT = {
    "weights and inputs": 1e-14,  # the same bits everywhere, but for the order of a digest's sums
    "structure": 0.0,
    "read-back": 0.0,
}
_FLOAT64 = {
    "activations": 1e-13,
    "posterior heads": 1e-13,
    "outputs": 1e-13,
    "gradients": 1e-12,
    "optimiser": 1e-13,
}


class _Model(NamedTuple):
    """How far a model magnifies rounding.

    Attributes:
        losses: the largest relative error of a loss term in a float64 run of training steps.
        gradients_k: the largest ratio of the port's error to the reference's own, of a gradient
            below float64.
        trained: the largest relative error of weights, moments and statistics after a float64 run.
    """

    losses: float = 1e-12
    gradients_k: float = 4.0
    trained: float = 1e-11


_MODELS = {
    "face_vae": _Model(trained=1e-8),
    # Its head starts near zero, where the divergence's gradient, -1/std, magnifies rounding.
    "stddev_vae": _Model(losses=1e-11, gradients_k=8.0, trained=1e-10),
}


class Tolerances(NamedTuple):
    """Tolerances of a comparison, by how a stage's name begins: the first that fits is taken.

    Attributes:
        relative: largest relative errors, where no reference's own error is known.
        k: largest ratios to the reference's own error, where it is.
        losses_floor: below float64, the least error of the reference's that the losses of a run
            are measured by, both the worst over its steps.
    """

    relative: Mapping[str, float]
    k: Mapping[str, float]
    losses_floor: float = 5e-6

    def of(self, stage: str, judged_by_k: bool) -> float:
        """Return the tolerance of a stage."""
        if judged_by_k and is_run(stage) and stage != "losses":
            return math.inf
        table = self.k if judged_by_k else self.relative
        if stage.endswith(NOISE_FED) and not stage.startswith("gradients") and NOISE_FED in table:
            return table[NOISE_FED]
        for begin, tolerance in table.items():
            if stage.startswith(begin):
                return tolerance
        raise KeyError(f"no tolerance for the stage {stage!r}")


def is_run(stage: str) -> bool:
    """Whether a stage is of a run of training steps."""
    return stage == "losses" or stage.partition(",")[0].endswith("after steps")


def never_rounds(stage: str) -> bool:
    """Whether a stage has no rounding in any precision."""
    return stage in _EXACT


def tolerances_of(name: str | None = None) -> Tolerances:
    """Return the tolerances of one of the package's models, or of any other model."""
    model = _MODELS.get(name or "", _Model())
    relative = _EXACT | _FLOAT64 | {"loss": model.losses, NOISE_FED: 1e-6, "": model.trained}
    of_gradients = {"gradients": model.gradients_k, "exp_avg_sq": 2 * model.gradients_k}
    of_gradients |= {"exp_avg": model.gradients_k, NOISE_FED: model.gradients_k}
    # What magnifies float64's rounding magnifies float32's as much.
    floor = 5e-6 * model.losses / 1e-12
    return Tolerances(relative, _K | of_gradients, floor)
