"""Distances have the units that they claim, and no nonsense is small."""

import math

import numpy as np
import pytest

from vae_jax.parity.compare import Distance, distance, together


def test_a_difference_is_measured_by_the_largest_magnitude_of_what_was_expected():
    found = distance([[1.0, -4.0], [2.0, 0.0]], [[1.0, -4.4], [2.3, 0.0]], np.float64)
    assert found.max_abs == pytest.approx(0.4)
    assert found.relative == pytest.approx(0.1)
    assert found.rms == pytest.approx(math.sqrt((0.4**2 + 0.3**2) / 4) / 4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", [1.0, -3.7, 1e-20, 1e20])
def test_ulps_are_of_the_scale_in_the_format_that_is_judged(dtype, scale):
    expected = np.array([scale, scale / 8], dtype)
    unit = float(np.spacing(np.abs(expected[0])))
    moved = expected.astype(np.float64) + np.array([0.0, 3 * unit])
    assert distance(expected, moved, dtype).ulps == pytest.approx(3, rel=1e-6)
    assert distance(expected, np.nextafter(expected, dtype(np.inf)), dtype).ulps <= 1


def test_a_given_scale_takes_the_place_of_the_tensors_own():
    found = distance([1e-9], [3e-9], np.float32, scale=0.5)
    assert found.relative == pytest.approx(4e-9)
    assert found.rms == pytest.approx(4e-9)
    assert found.ulps == pytest.approx(2e-9 / np.spacing(np.float32(0.5)))


def test_the_root_mean_square_may_be_of_the_first_numbers_alone():
    found = distance([0.0, 0.0, 2.0], [0.2, 0.2, 3.0], np.float64, rms_of=2)
    assert found.rms == pytest.approx(0.1)
    assert found.relative == pytest.approx(0.5)


@pytest.mark.parametrize("where", ["expected", "found", "both"])
def test_nan_in_either_makes_every_distance_nan(where):
    whole, broken = np.array([1.0, 2.0]), np.array([1.0, np.nan])
    pair = (whole if where == "found" else broken, whole if where == "expected" else broken)
    assert all(math.isnan(d) for d in distance(*pair, np.float64))


def test_infinity_is_never_near_anything():
    found = distance([1.0, 2.0], [1.0, np.inf], np.float32)
    assert found.max_abs == found.relative == math.inf
    assert not found.rms <= 1e9


def test_equal_tensors_and_empty_ones_are_zero_apart():
    zero = Distance(0.0, 0.0, 0.0, 0.0)
    assert distance(np.zeros(3), np.zeros(3), np.float32) == zero
    assert distance([-0.0], [0.0], np.float32) == zero
    assert distance(np.zeros((0, 4)), np.zeros((0, 4)), np.float64) == zero
    assert distance([1.5, -2.0], [1.5, -2.0], np.float64) == zero


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_any_difference_from_zeros_is_enormous(dtype):
    found = distance(np.zeros(3), [0.0, 1e-12, 0.0], dtype)
    assert found.max_abs == 1e-12
    assert min(found.relative, found.rms, found.ulps) > 1e30
    assert together([found, found]).rms > 1e30


def test_several_distances_are_the_largest_of_each_and_a_root_mean_square():
    found = together([Distance(1.0, 0.1, 3.0, 7.0), Distance(0.5, 0.4, 4.0, 8.0)])
    assert found == pytest.approx(Distance(1.0, 0.4, math.sqrt(12.5), 8.0))
    assert together([found]) == pytest.approx(found)
    broken = together([Distance(*[math.nan] * 4), Distance(0.0, 0.0, 0.0, 0.0)])
    assert all(math.isnan(d) for d in broken)
