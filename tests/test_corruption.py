"""Corruptions: their statistics within five standard errors and their keys; PSNR by hand.

Everything has one shape, because each further one compiles its own random numbers.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.corruption import corrupt, psnr
from vae_jax.recipe import Corruption, parse_corruption

COUNT, SIZE = 64, 16
TEXTS = ("gaussian:0.3", "mask:0.5", "salt-pepper:0.1")


def keys_for(seed=0):
    return jax.random.split(jax.random.key(seed), COUNT)


def grey(value=0.5, dtype=np.float32):
    return np.full((COUNT, SIZE, SIZE, 3), value, dtype)


def coloured():
    """Images without a black or a white pixel."""
    return np.random.default_rng(5).uniform(0.2, 0.8, grey().shape).astype(np.float32)


def spoil(text, x, pixel_range=(0.0, 1.0), seed=0):
    return np.asarray(corrupt(parse_corruption(text), keys_for(seed), x, pixel_range))


def within_five_errors(found, probability, count):
    return abs(found - probability) < 5 * math.sqrt(probability * (1 - probability) / count)


@pytest.mark.slow
def test_gaussian_noise_has_mean_zero_and_the_given_deviation():
    noise = spoil("gaussian:0.3", grey(0.9)).astype(np.float64) - 0.9
    assert abs(noise.mean()) < 5 * 0.3 / math.sqrt(noise.size)
    assert abs(noise.std() - 0.3) < 5 * 0.3 / math.sqrt(2 * noise.size)
    # A normal's fourth moment: a uniform of this deviation would have 1.8.
    assert abs((noise**4).mean() / 0.3**4 - 3) < 5 * math.sqrt(96 / noise.size)
    assert (noise + 0.9).max() > 1.5  # not clipped


def test_gaussian_noise_differs_between_channels_pixels_and_images():
    noise = spoil("gaussian:1", grey()) - 0.5
    for left, right in [
        (noise[..., 0], noise[..., 1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[1:], noise[:-1]),
    ]:
        correlation = np.corrcoef(left.ravel(), right.ravel())[0, 1]
        assert abs(correlation) < 5 / math.sqrt(left.size)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.93])
def test_a_mask_blackens_pixels_with_its_probability_and_touches_no_other(probability):
    x = coloured()
    masked = spoil(f"mask:{probability}", x)
    black = masked == 0
    np.testing.assert_array_equal(masked[~black], x[~black])
    np.testing.assert_array_equal(black.all(axis=-1), black.any(axis=-1))  # all channels together
    assert within_five_errors(black[..., 0].mean(), probability, black[..., 0].size)


@pytest.mark.parametrize("probability", [0.1, 0.6])
def test_salt_and_pepper_are_as_frequent_and_touch_no_other_pixel(probability):
    x = coloured()
    spoiled = spoil(f"salt-pepper:{probability}", x)
    black, white = spoiled == 0, spoiled == 1
    clean = ~(black | white)
    np.testing.assert_array_equal(spoiled[clean], x[clean])
    for kind in (black, white):
        np.testing.assert_array_equal(kind.all(axis=-1), kind.any(axis=-1))
        assert within_five_errors(kind[..., 0].mean(), probability / 2, kind[..., 0].size)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("gaussian:0", {0.5}),
        ("mask:0", {0.5}),
        ("mask:1", {0.0}),
        ("salt-pepper:0", {0.5}),
        ("salt-pepper:1", {0.0, 1.0}),
    ],
)
def test_the_extreme_amounts_spare_every_pixel_or_none(text, values):
    assert set(np.unique(spoil(text, grey()))) == values


def test_none_returns_the_images_themselves():
    x = grey()
    assert corrupt(Corruption("none"), keys_for(), x) is x


@pytest.mark.parametrize("text", TEXTS[:2])  # a normal and a uniform draw a pixel
def test_a_key_gives_its_noise_whatever_the_batch(text):
    corruption, keys, x = parse_corruption(text), keys_for(), grey()
    whole = spoil(text, x)
    np.testing.assert_array_equal(corrupt(corruption, keys[::-1], x[::-1]), whole[::-1])
    np.testing.assert_array_equal(corrupt(corruption, keys[3:5], x[3:5]), whole[3:5])
    assert len({example.tobytes() for example in whole}) == COUNT
    assert (spoil(text, x, seed=1) != whole).any()


@pytest.mark.slow
def test_compiling_and_sharding_change_nothing():
    corruption, keys, x = parse_corruption("gaussian:0.3"), keys_for(), grey()
    compiled = jax.jit(corrupt, static_argnums=0)
    expected = compiled(corruption, keys, x)
    # Compiled, a product and a sum may be rounded once instead of twice.
    np.testing.assert_allclose(spoil("gaussian:0.3", x), expected, rtol=3e-7, atol=3e-7)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    shared = compiled(corruption, *jax.device_put((keys, x), sharding))
    assert len(shared.sharding.device_set) == 8
    np.testing.assert_array_equal(shared, expected)


def test_twice_the_pixel_range_doubles_the_gaussian_noise():
    narrow, wide = (
        spoil("gaussian:0.25", grey(0.0), pixel_range) for pixel_range in ((0.0, 1.0), (-1.0, 1.0))
    )
    np.testing.assert_array_equal(wide, 2 * narrow)


def test_black_and_white_are_those_of_the_pixel_range():
    masked, spoiled = (
        spoil(text, grey(0.25), (-1.0, 1.0)) for text in ("mask:0.5", "salt-pepper:0.5")
    )
    assert set(np.unique(masked)) == {-1.0, 0.25}
    assert set(np.unique(spoiled)) == {-1.0, 0.25, 1.0}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_the_dtype_is_kept_and_the_same_pixels_are_hit(dtype):
    expected = [spoil(text, grey()) for text in TEXTS[1:]]
    with jax.enable_x64(True):
        for text in (*TEXTS, "none"):
            found = corrupt(parse_corruption(text), keys_for(), grey(dtype=dtype))
            assert found.dtype == dtype
            if text in TEXTS[1:]:
                single = np.asarray(found).astype(np.float32)
                np.testing.assert_array_equal(single, expected[TEXTS.index(text) - 1])


def test_psnr_is_in_decibels_over_each_image():
    a = np.zeros((3, 2, 2, 3), np.float32)
    b = a + np.array([0.1, 1.0, 0.01], np.float32).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(psnr(a, b), [20, 0, 40], atol=1e-4)
    np.testing.assert_allclose(psnr(b, a), [20, 0, 40], atol=1e-4)
    np.testing.assert_allclose(psnr(2 * a, 2 * b, peak=2.0), [20, 0, 40], atol=1e-4)
    one_pixel = np.zeros((1, 10, 10, 1), np.float32)
    one_pixel[0, 3, 4] = 1
    np.testing.assert_allclose(psnr(np.zeros_like(one_pixel), one_pixel), [20], atol=1e-4)


def test_psnr_of_noise_is_what_its_deviation_says():
    error = np.asarray(psnr(spoil("gaussian:0.1", grey()), grey()))
    # 20 dB, each image's with a deviation of 10/ln(10) sqrt(2/768) dB around it.
    deviation = 10 / math.log(10) * math.sqrt(2 / grey()[0].size)
    assert abs(error.mean() - 20) < 5 * deviation / math.sqrt(COUNT)
    assert np.all(np.abs(error - 20) < 5 * deviation)


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
        a = np.zeros((1, 2, 2, 1))
        value = psnr(a, a + 1e-7)
        assert value.dtype == jnp.float64
        np.testing.assert_allclose(value, [140], rtol=1e-12)


def test_psnr_does_not_compare_one_image_with_many(unchecked):
    with pytest.raises(ValueError, match="expected the same shape"):
        psnr(np.zeros((2, 4, 4, 1), np.float32), np.zeros((2, 4, 4, 3), np.float32))
