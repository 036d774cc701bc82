"""Curves: their points and names."""

import numpy as np

from vae_jax.figures import loss_curve


def test_a_loss_curve_shows_its_points_and_names():
    axes = loss_curve(range(3), [3.0, 2.0, 1.0], label="nats", x_label="step").axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, 3], [1, 2], [2, 1]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "nats")
