"""The manifold's points: tutorial 004's `interpolation2d`, copied here as the reference."""

import numpy as np
import pytest

from vae_jax.latents import manifold_grid, plane


def interpolation2d(x1, x2, y1, y2, x_dim, y_dim):
    x = np.tile(np.linspace(x1, x2, x_dim), y_dim)
    y = np.linspace(y2, y1, y_dim).repeat(x_dim)
    return np.concatenate((x[:, None], y[:, None]), axis=1)


@pytest.mark.parametrize(("columns", "rows"), [(20, 20), (3, 5), (1, 4), (4, 1), (1, 1)])
def test_the_points_are_the_tutorials(columns, rows):
    found = manifold_grid((-2.3, 3.1), (-1000.7, 999.1), columns, rows)
    assert found.shape == (rows * columns, 2)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, interpolation2d(-2.3, 3.1, -1000.7, 999.1, columns, rows))


def test_rows_go_from_the_top_down_and_columns_from_left_to_right():
    table = manifold_grid((-1, 2), (-5, 5), 4, 3).reshape(3, 4, 2)
    np.testing.assert_array_equal(table[:, :, 0], [[-1, 0, 1, 2]] * 3)
    np.testing.assert_array_equal(table[:, :, 1], [[5] * 4, [0] * 4, [-5] * 4])


def test_single_precision_bounds_give_double_precision_points():
    low, high = np.float32(-0.1), np.float32(0.3)
    found = manifold_grid((low, high), (low, high), 7, 7)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[:7, 0], np.linspace(float(low), float(high), 7))


@pytest.mark.parametrize(("columns", "rows"), [(0, 3), (3, 0), (-1, 3)])
def test_an_empty_manifold_is_refused(columns, rows):
    with pytest.raises(ValueError, match="a manifold of"):
        manifold_grid((0.0, 1.0), (0.0, 1.0), columns, rows)


def test_a_plane_of_two_unit_vectors_is_the_manifold_of_two_dimensions():
    axes = np.eye(5)
    found = plane(np.zeros(5), axes[3], axes[1], (-2.3, 3.1), (-1.7, 9.1), 4, 3)
    expected = np.zeros((12, 5))
    expected[:, [3, 1]] = manifold_grid((-2.3, 3.1), (-1.7, 9.1), 4, 3)
    np.testing.assert_array_equal(found, expected)


def test_three_points_span_a_plane_with_themselves_at_its_corners():
    a, b, c = np.random.default_rng(0).standard_normal((3, 6), np.float32)
    table = plane(a, b - a, c - a, (0, 1), (0, 1), 5, 4).reshape(4, 5, 6)
    for found, corner in [(table[-1, 0], a), (table[-1, -1], b), (table[0, 0], c)]:
        np.testing.assert_allclose(found, corner, rtol=1e-6, atol=1e-6)
    centred = (table - a.astype(np.float64)).reshape(-1, 6)
    assert np.linalg.matrix_rank(centred) == 2
