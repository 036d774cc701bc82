"""Rows and reports made by hand."""

from vae_jax.parity.facts import facts
from vae_jax.parity.layers import INPUT
from vae_jax.parity.precision import PRECISIONS
from vae_jax.parity.report import Report, Row


def exact(stage, tensor, relative=0.0, budget=1e-12, by_step=()):
    """A row of a comparison in float64."""
    return Row(
        stage, tensor, relative, relative, relative / 2**-53, relative, budget, by_step=by_step
    )


def judged(stage, tensor, k=1.0, budget=3.0, by_step=(), stray=1e-7):
    """A row of a comparison in float32."""
    return Row(stage, tensor, 1e-7, 1e-7, 1.5, k * stray, budget, stray, k, by_step)


def layers(row, wrong=None, **error):
    """Rows of three layers, the inputs and outputs of each, one of them wrong."""
    names = [n + end for n in ("conv1", "conv2", "dense") for end in (INPUT, "")]
    return [row("activations", n, **(error if n == wrong else {})) for n in names]


def double(wrong=None):
    """A small whole report in float64."""
    curve = tuple((n, 1e-15 * n, None) for n in range(1, 21))
    rows = [
        exact("structure", "w", budget=0.0),
        *layers(exact, wrong, relative=1e-3),
        exact("posterior heads", "mean", 1e-16),
        exact("loss terms", "loss", 2e-16),
        exact("gradients", "w", 3e-16),
        exact("gradients, noise-fed", "b", 4e-16),
        exact("optimiser", "update 1", 1e-16),
        exact("weights after one step", "w", 5e-16),
        exact("losses", "loss", 2e-14, by_step=curve),
        exact("weights after steps", "w", 6e-15, by_step=curve[:2]),
        exact("weights after steps, noise-fed", "b", 7e-13, by_step=curve[:2]),
    ]
    known = facts("tiny", PRECISIONS["float64"], {}, seed=3, batch_size=2, steps=20, hyper={})
    return Report("tiny: in float64", tuple(rows), ("a note",), known)


def single():
    """The same in float32."""
    curve = ((1, 2e-7, 1e-7), (2, 4e-7, 3e-7))
    endless = float("inf")
    rows = [
        exact("structure", "w", budget=0.0),
        *layers(judged),
        judged("loss terms", "loss", 1.2),
        judged("gradients", "w", 0.4),
        judged("gradients", "v", 2.8),
        judged("losses", "loss", 40.0, endless, curve),
        judged("exp_avg after steps", "w", 30.0, endless, curve),
    ]
    known = facts("tiny", PRECISIONS["float32"], {}, seed=3, batch_size=2, steps=2, hyper={})
    return Report("tiny: in float32", tuple(rows), (), known)
