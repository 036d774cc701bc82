"""Interpolation: tutorial 002's listing 7.10, and the great circle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.latents import interpolate

KINDS = ["linear", "spherical"]


def pair(seed=0, size=100):
    return np.random.default_rng(seed).standard_normal((2, size), np.float32)


def test_six_steps_are_the_tutorials_listing():
    women_g, women_ng = pair()
    expected = [w * women_ng + (1 - w) * women_g for w in [0, 0.2, 0.4, 0.6, 0.8, 1.0]]
    found = interpolate(women_g, women_ng, num_steps=6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.stack(expected))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [2, 3, 6, 11])
def test_the_ends_are_exact(kind, steps):
    start, end = pair(1)
    found = interpolate(start, end, steps, kind)
    assert found.shape == (steps, 100)
    np.testing.assert_array_equal(found[0], start)
    np.testing.assert_array_equal(found[-1], end)


def test_a_great_circle_turns_evenly_while_the_norm_goes_linearly():
    start, end = pair(2, 5).astype(np.float64)
    end *= 3
    found = interpolate(start, end, 9, "spherical")
    norms = np.linalg.norm(found, axis=1)
    np.testing.assert_allclose(norms, np.linspace(norms[0], norms[-1], 9), rtol=1e-12)
    unit = found / norms[:, None]
    angles = np.arccos(np.sum(unit[1:] * unit[:-1], axis=1))
    np.testing.assert_allclose(angles, angles.mean(), rtol=1e-9)
    assert angles.sum() == pytest.approx(np.arccos(unit[0] @ unit[-1]), rel=1e-12)
    # All in the plane of the ends.
    assert np.linalg.matrix_rank(found, tol=1e-12) == 2


def test_a_quarter_circle_is_known():
    found = interpolate(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 3, "spherical")
    np.testing.assert_allclose(found[1], [np.sqrt(0.5)] * 2, rtol=1e-15)


@pytest.mark.parametrize("factor", [1.0, 2.5, -1.0, 0.0])
def test_without_a_single_arc_the_way_is_the_straight_one(factor):
    start, _ = pair(3)
    end = start * np.full_like(start, factor)
    for first, last in [(start, end), (end, start)]:
        found = interpolate(first, last, 5, "spherical")
        np.testing.assert_array_equal(found, interpolate(first, last, 5))


def test_directions_almost_alike_lose_nothing():
    start = np.array([1.0, 0.0])
    end = np.array([1.0, 1e-6])
    found = interpolate(start, end, 3, "spherical")
    np.testing.assert_allclose(found[1], [1.0, 5e-7], rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_jax_gives_the_same_compiled_and_mapped(kind):
    starts, ends = np.stack([pair(4), pair(5)])
    expected = [interpolate(a, b, 4, kind) for a, b in zip(starts, ends, strict=True)]
    walk = jax.jit(jax.vmap(lambda a, b: interpolate(a, b, 4, kind)))
    found = walk(jnp.asarray(starts), jnp.asarray(ends))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_one_point_is_no_way():
    with pytest.raises(ValueError, match="an interpolation of 1 points; expected at least 2"):
        interpolate(pair()[0], pair()[1], 1)
