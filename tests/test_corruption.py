"""Corruptions: their statistics within five standard errors, their keys, their texts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_jax.corruption import corrupt
from vae_jax.errors import UserError
from vae_jax.recipe import CORRUPTIONS, Corruption, parse_corruption

TEXTS = ("gaussian:0.3", "mask:0.5", "salt-pepper:0.1")


def keys_for(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def grey(count=200, size=28, channels=1, value=0.5, dtype=np.float32):
    return jnp.full((count, size, size, channels), value, dtype)


def within_five_errors(found, probability, count):
    return abs(found - probability) < 5 * math.sqrt(probability * (1 - probability) / count)


def test_gaussian_noise_has_mean_zero_and_the_given_deviation():
    x = grey(value=0.9)
    noise = np.asarray(corrupt(parse_corruption("gaussian:0.3"), keys_for(200), x) - x, np.float64)
    assert abs(noise.mean()) < 5 * 0.3 / math.sqrt(noise.size)
    assert abs(noise.std() - 0.3) < 5 * 0.3 / math.sqrt(2 * noise.size)
    # A normal's fourth moment: a uniform of this deviation would have 1.8.
    assert abs((noise**4).mean() / 0.3**4 - 3) < 5 * math.sqrt(96 / noise.size)
    assert (noise + 0.9).max() > 1.5  # not clipped


def test_gaussian_noise_differs_between_channels_and_pixels():
    x = grey(50, channels=3)
    noise = np.asarray(corrupt(parse_corruption("gaussian:1"), keys_for(50), x) - x)
    for left, right in [
        (noise[..., 0], noise[..., 1]),
        (noise[:, 1:], noise[:, :-1]),
        (noise[1:], noise[:-1]),
    ]:
        correlation = np.corrcoef(left.ravel(), right.ravel())[0, 1]
        assert abs(correlation) < 5 / math.sqrt(left.size)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.93])
def test_a_mask_blackens_pixels_with_its_probability_and_touches_no_other(probability):
    x = jax.random.uniform(jax.random.key(5), (200, 28, 28, 1), minval=0.2)
    masked = np.asarray(corrupt(Corruption("mask", probability), keys_for(200), x))
    black = masked == 0
    np.testing.assert_array_equal(masked[~black], np.asarray(x)[~black])
    assert within_five_errors(black.mean(), probability, black.size)


@pytest.mark.parametrize("probability", [0.1, 0.6])
def test_salt_and_pepper_are_as_frequent_and_touch_no_other_pixel(probability):
    x = jax.random.uniform(jax.random.key(5), (200, 28, 28, 1), minval=0.2, maxval=0.8)
    spoiled = np.asarray(corrupt(Corruption("salt-pepper", probability), keys_for(200), x))
    black, white = spoiled == 0, spoiled == 1
    clean = ~(black | white)
    np.testing.assert_array_equal(spoiled[clean], np.asarray(x)[clean])
    assert within_five_errors(black.mean(), probability / 2, black.size)
    assert within_five_errors(white.mean(), probability / 2, white.size)


@pytest.mark.parametrize("text", ["mask:0.5", "salt-pepper:0.5"])
def test_a_pixel_is_hit_in_all_channels_or_in_none(text):
    x = jax.random.uniform(jax.random.key(5), (50, 28, 28, 3), minval=0.2, maxval=0.8)
    spoiled = np.asarray(corrupt(parse_corruption(text), keys_for(50), x))
    hit = spoiled != np.asarray(x)
    assert hit.any()
    np.testing.assert_array_equal(hit.all(axis=-1), hit.any(axis=-1))
    assert (np.ptp(spoiled, axis=-1)[hit.any(axis=-1)] == 0).all()


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
    assert set(np.unique(corrupt(parse_corruption(text), keys_for(200), grey()))) == values


def test_none_returns_the_images_themselves():
    x = grey(8)
    assert corrupt(parse_corruption("none"), keys_for(8), x) is x


@pytest.mark.parametrize("text", TEXTS)
def test_a_key_gives_its_noise_whatever_the_batch(text):
    corruption = parse_corruption(text)
    keys, x = keys_for(8), grey(8)
    whole = np.asarray(corrupt(corruption, keys, x))
    np.testing.assert_array_equal(corrupt(corruption, keys, x), whole)
    np.testing.assert_array_equal(corrupt(corruption, keys[3:4], x[3:4]), whole[3:4])
    np.testing.assert_array_equal(corrupt(corruption, keys[::-1], x[::-1]), whole[::-1])
    assert len({example.tobytes() for example in whole}) == 8
    assert (np.asarray(corrupt(corruption, keys_for(8, seed=1), x)) != whole).any()


@pytest.mark.parametrize("text", TEXTS)
def test_compiling_and_sharding_change_nothing(text):
    corruption = parse_corruption(text)
    keys, x = keys_for(8), grey(8)
    compiled = jax.jit(corrupt, static_argnums=(0, 3))
    expected = compiled(corruption, keys, x, (0.0, 1.0))
    # Compiled, a product and a sum may be rounded once instead of twice.
    np.testing.assert_allclose(corrupt(corruption, keys, x), expected, rtol=3e-7, atol=3e-7)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    shared = compiled(
        corruption, jax.device_put(keys, sharding), jax.device_put(x, sharding), (0.0, 1.0)
    )
    assert len(shared.sharding.device_set) == 8
    np.testing.assert_array_equal(shared, expected)


def test_twice_the_pixel_range_doubles_the_gaussian_noise():
    corruption, keys = parse_corruption("gaussian:0.25"), keys_for(8)
    x = grey(8, value=0.0)
    narrow, wide = corrupt(corruption, keys, x), corrupt(corruption, keys, x, (-1.0, 1.0))
    np.testing.assert_array_equal(wide, 2 * narrow)


def test_black_and_white_are_those_of_the_pixel_range():
    keys, x = keys_for(8), grey(8, value=0.25)
    masked = corrupt(parse_corruption("mask:0.5"), keys, x, (-1.0, 1.0))
    spoiled = corrupt(parse_corruption("salt-pepper:0.5"), keys, x, (-1.0, 1.0))
    assert set(np.unique(masked)) == {-1.0, 0.25}
    assert set(np.unique(spoiled)) == {-1.0, 0.25, 1.0}


@pytest.mark.parametrize("text", [*TEXTS, "none"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_the_dtype_is_kept_and_the_same_pixels_are_hit(text, dtype):
    with jax.enable_x64(True):
        corruption, keys = parse_corruption(text), keys_for(8)
        x = grey(8, dtype=dtype)
        spoiled = corrupt(corruption, keys, x)
        assert spoiled.dtype == dtype
        if corruption.kind != "gaussian":
            expected = corrupt(corruption, keys, grey(8))
            np.testing.assert_array_equal(spoiled.astype(jnp.float32), expected)


def test_numpy_images_are_taken():
    corruption, keys, x = parse_corruption("mask:0.5"), keys_for(8), grey(8)
    np.testing.assert_array_equal(
        corrupt(corruption, keys, np.asarray(x)), corrupt(corruption, keys, x)
    )


@pytest.mark.parametrize("text", [*TEXTS, "none", "gaussian:2", "mask:1", "salt-pepper:0"])
def test_a_corruptions_text_is_given_back(text):
    assert str(parse_corruption(text)) == text


@given(st.sampled_from(CORRUPTIONS[:3]), st.floats(0, 1) | st.floats(0, 1e300))
def test_every_corruption_survives_its_text(kind, amount):
    if kind == "gaussian" or amount <= 1:
        corruption = Corruption(kind, amount)
        assert parse_corruption(str(corruption)) == corruption


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "''"),
        ("blur:0.3", "'blur:0.3'"),
        ("Gaussian:0.3", "'Gaussian:0.3'"),
        ("gaussian", "no amount"),
        ("mask:", "no amount"),
        ("gaussian:much", "'much', which is not a number"),
        ("gaussian:0.3:0.4", "'0.3:0.4', which is not a number"),
        ("gaussian:nan", "by nan"),
        ("gaussian:inf", "by inf"),
        ("gaussian:1e999", "by inf"),
        ("gaussian:-0.1", "by -0.1"),
        ("mask:-0.1", "by -0.1"),
        ("mask:1.5", "by 1.5, a probability above 1"),
        ("salt-pepper:1.0000001", "a probability above 1"),
        ("none:0.3", "none has no amount"),
        ("mask\n:0.3", r"'mask\\n:0.3'"),
    ],
)
def test_what_is_no_corruption_is_named_and_the_forms_are_listed(text, found):
    with pytest.raises(UserError, match=found) as caught:
        parse_corruption(text)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(example in message for example in TEXTS)


@given(st.text())
def test_any_text_is_a_corruption_or_a_one_line_error(text):
    try:
        assert parse_corruption(text).kind in CORRUPTIONS
    except UserError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


@pytest.mark.parametrize(
    ("kind", "amount"), [("blur", 0.1), ("mask", 1.1), ("gaussian", math.nan), ("none", 0.1)]
)
def test_a_corruption_made_by_hand_is_checked_too(kind, amount):
    with pytest.raises(UserError):
        Corruption(kind, amount)
