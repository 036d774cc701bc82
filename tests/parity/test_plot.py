"""A report as a picture: both panels in either kind of precision, and nothing invisible."""

import io
import math

import numpy as np
import pytest

from vae_jax.parity.plot import parity_figure
from vae_jax.parity.report import Report
from vae_jax.parity.stages import Stage

from .rows import exact, judged

CURVE = tuple((n, 1e-14 * n, None) for n in (1, 2, 5))


DOUBLE = Report(
    "in float64",
    (
        exact(Stage.ACTIVATIONS, "conv (input)", 0.0),
        exact(Stage.ACTIVATIONS, "conv", 0.0),
        exact(Stage.POSTERIOR_HEADS, "mean", 1e-9),
        exact(Stage.LOSSES, "loss", by_step=CURVE),
        exact(Stage.LOSSES, "kl", by_step=tuple((n, 3 * e, None) for n, e, _ in CURVE)),
        exact(Stage.RUN_WEIGHTS, "w", by_step=CURVE[:1]),
        exact(Stage.RUN_WEIGHTS, "b", by_step=CURVE, zero_gradient=True),
    ),
)
SINGLE = Report(
    "in float32",
    (
        judged(Stage.ACTIVATIONS, "conv"),
        judged(Stage.OUTPUTS, "latent", 4.0),
        judged(Stage.LOSSES, "loss", 9.0, math.inf, ((1, 2e-7, 1e-7), (2, 9e-7, 1e-7))),
    ),
)


def drawn(*reports):
    figure = parity_figure(reports)
    figure.savefig(io.BytesIO(), format="png")
    return np.array(figure.axes).reshape(len(reports), 2)


def test_float64_shows_the_error_by_layer_and_the_worst_of_each_class_by_step():
    ((left, right),) = drawn(DOUBLE)
    assert left.get_yscale() == right.get_yscale() == "log"
    assert [label.get_text() for label in left.get_xticklabels()] == ["conv", "mean"]
    port, tolerance = left.lines[0], left.lines[1]
    assert port.get_ydata()[1] == 1e-9
    assert port.get_ydata()[0] > 0  # an error of zero is still on the paper
    np.testing.assert_array_equal(tolerance.get_ydata(), [1e-12, 1e-12])
    curves = [line for line in right.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in curves] == ["losses", "weights", "weights, zero-gradient"]
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[n, 3e-14 * n] for n in (1, 2, 5)])
    assert all(line.get_marker() == "." for line in curves)  # a single point would vanish
    tolerances = [line for line in right.lines if line not in curves]
    assert {line.get_ydata()[0] for line in tolerances} == {1e-12}


def test_what_is_over_its_tolerance_is_marked():
    ((left, _),) = drawn(DOUBLE)
    marks = [line for line in left.lines if line.get_color() == "tab:red"]
    assert [mark.get_xdata()[0] for mark in marks] == [1]


def test_float32_shows_the_references_own_error_beside_the_ports():
    ((left, right),) = drawn(SINGLE)
    port, reference, limit = left.lines[:3]
    np.testing.assert_allclose(port.get_ydata(), [1e-7, 4e-7])
    np.testing.assert_allclose(reference.get_ydata(), [1e-7, 1e-7])
    np.testing.assert_allclose(limit.get_ydata(), [3e-7, 3e-7])
    solid, dotted = right.lines
    np.testing.assert_allclose(solid.get_ydata(), [2e-7, 9e-7])
    np.testing.assert_allclose(dotted.get_ydata(), [1e-7, 1e-7])
    assert dotted.get_linestyle() == ":"


def test_a_report_without_a_run_of_steps_leaves_that_panel_out():
    ((left, right),) = drawn(Report("outputs alone", SINGLE.rows[:2]))
    assert left.axison
    assert not right.axison


@pytest.mark.slow
def test_each_report_has_a_line_of_its_own():
    axes = drawn(DOUBLE, SINGLE, DOUBLE)
    titles = [left.get_title(loc="left") for left, _ in axes]
    assert titles == ["in float64", "in float32", "in float64"]
