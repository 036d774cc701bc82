"""Peak signal-to-noise ratio: values known by hand, and those of known noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.corruption import corrupt, psnr
from vae_jax.recipe import parse_corruption


def test_psnr_is_in_decibels_over_each_image():
    a = jnp.zeros((3, 2, 2, 3))
    b = a + jnp.array([0.1, 1.0, 0.01]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(psnr(a, b), [20, 0, 40], atol=1e-4)
    np.testing.assert_allclose(psnr(b, a), [20, 0, 40], atol=1e-4)
    np.testing.assert_allclose(psnr(2 * a, 2 * b, peak=2.0), [20, 0, 40], atol=1e-4)
    one_pixel = jnp.zeros((1, 10, 10, 1)).at[0, 3, 4, 0].set(1.0)
    np.testing.assert_allclose(psnr(jnp.zeros((1, 10, 10, 1)), one_pixel), [20], atol=1e-4)


def test_psnr_of_noise_is_what_its_deviation_says():
    x = jnp.full((200, 28, 28, 1), 0.5)
    keys = jax.random.split(jax.random.key(0), 200)
    noisy = corrupt(parse_corruption("gaussian:0.1"), keys, x)
    error = np.asarray(psnr(noisy, x))
    # 20 dB, each image's with a deviation of 10/ln(10) sqrt(2/784) dB around it.
    assert abs(error.mean() - 20) < 0.15
    assert np.all(np.abs(error - 20) < 5 * 0.22)


def test_identical_images_are_infinitely_near_and_nothing_warns(recwarn):
    x = np.random.default_rng(0).random((2, 4, 4, 1), np.float32)
    other = x.copy()
    other[1] += 0.1
    values = np.asarray(psnr(x, other))
    assert np.isposinf(values[0])
    assert np.isfinite(values[1])
    assert not recwarn.list


def test_psnr_keeps_double_precision():
    with jax.enable_x64(True):
        a = jnp.zeros((1, 2, 2, 1), jnp.float64)
        value = psnr(a, a + 1e-7)
        assert value.dtype == jnp.float64
        np.testing.assert_allclose(value, [140], rtol=1e-12)


def test_psnr_does_not_compare_one_image_with_many():
    # Without the type checker of the tests it is a ValueError.
    with pytest.raises((ValueError, TypeError), match=r"one with one|psnr"):
        psnr(np.zeros((2, 4, 4, 1), np.float32), np.zeros((2, 4, 4, 3), np.float32))
