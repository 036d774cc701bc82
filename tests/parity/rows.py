"""Rows and reports made by hand."""

from vae_jax.parity.layers import INPUT
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.report import Report, Row, facts_of
from vae_jax.parity.stages import Stage


def exact(stage, tensor, relative=0.0, tolerance=1e-12, **more):
    """A row of a comparison in float64."""
    ulps = relative / 2**-53
    return Row(stage, tensor, relative, relative, ulps, relative, tolerance, **more)


def judged(stage, tensor, ratio=1.0, tolerance=3.0, by_step=(), reference_error=1e-7):
    """A row of a comparison in float32."""
    rms = ratio * reference_error
    return Row(stage, tensor, 1e-7, 1e-7, 1.5, rms, tolerance, reference_error, ratio, by_step)


def layers(row, wrong=None, **error):
    """Rows of three layers, the inputs and outputs of each, one of them wrong."""
    names = [n + end for n in ("conv1", "conv2", "dense") for end in (INPUT, "")]
    return [row(Stage.ACTIVATIONS, n, **(error if n == wrong else {})) for n in names]


def double(wrong=None):
    """A small whole report in float64."""
    curve = tuple((n, 1e-15 * n, None) for n in range(1, 21))
    rows = [
        exact(Stage.STRUCTURE, "w", tolerance=0.0),
        *layers(exact, wrong, relative=1e-3),
        exact(Stage.POSTERIOR_HEADS, "mean", 1e-16),
        exact(Stage.LOSS_TERMS, "loss", 2e-16),
        exact(Stage.GRADIENTS, "w", 3e-16),
        exact(Stage.GRADIENTS, "b", 4e-16, zero_gradient=True),
        exact(Stage.OPTIMISER, "update 1", 1e-16),
        exact(Stage.STEP_WEIGHTS, "w", 5e-16),
        exact(Stage.LOSSES, "loss", 2e-14, by_step=curve),
        exact(Stage.RUN_WEIGHTS, "w", 6e-15, by_step=curve[:2]),
        exact(Stage.RUN_WEIGHTS, "b", 7e-13, by_step=curve[:2], zero_gradient=True),
    ]
    known = facts_of("tiny", PRECISIONS["float64"], {}, seed=3, batch_size=2, steps=20, hyper={})
    return Report("tiny: in float64", tuple(rows), ("a note",), known)


def single():
    """The same in float32."""
    curve = ((1, 2e-7, 1e-7), (2, 4e-7, 3e-7))
    endless = float("inf")
    rows = [
        exact(Stage.STRUCTURE, "w", tolerance=0.0),
        *layers(judged),
        judged(Stage.LOSS_TERMS, "loss", 1.2),
        judged(Stage.GRADIENTS, "w", 0.4),
        judged(Stage.GRADIENTS, "v", 2.8),
        judged(Stage.LOSSES, "loss", 40.0, endless, curve),
        judged(Stage.RUN_EXP_AVG, "w", 30.0, endless, curve),
    ]
    known = facts_of("tiny", PRECISIONS["float32"], {}, seed=3, batch_size=2, steps=2, hyper={})
    return Report("tiny: in float32", tuple(rows), (), known)
