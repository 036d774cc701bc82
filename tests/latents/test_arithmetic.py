"""Encodings of groups and their sums: tutorial 002's listings 7.8 and 7.9."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import Deterministic, DiagonalGaussian, SignedGaussian, example_noise
from vae_jax.errors import UserError
from vae_jax.latents import (
    combine,
    direction,
    group_encoding,
    interpolate,
    latent_points,
    require_affine,
)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize("kind", [DiagonalGaussian, SignedGaussian])
def test_a_groups_encoding_is_the_mean_of_a_draw_of_each_image(kind):
    posterior, key = kind(numbers(3, 5), numbers(3, 5, seed=1)), jax.random.key(7)
    noise = np.stack([jax.random.normal(k, (5,)) for k in jax.random.split(key, 3)])
    np.testing.assert_array_equal(noise, example_noise(key, 3, 5))
    expected = (posterior.mean + np.asarray(posterior.std) * noise).mean(axis=0)
    np.testing.assert_allclose(group_encoding(posterior, key), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(group_encoding(posterior), posterior.mean.mean(axis=0))


def test_a_draws_mean_is_in_the_precision_of_its_posterior():
    posterior = DiagonalGaussian(numbers(3, 5).astype(np.float16), np.zeros((3, 5), np.float16))
    assert latent_points(posterior, jax.random.key(0)).dtype == np.float16


def test_a_plain_autoencoder_has_nothing_to_sample():
    latents = numbers(4, 3)
    for key in (None, jax.random.key(0)):
        point = Deterministic(latents)
        np.testing.assert_array_equal(latent_points(point, key), latents)
        np.testing.assert_array_equal(group_encoding(point, key), latents.mean(axis=0))


def test_a_group_of_nobody_is_refused():
    with pytest.raises(ValueError, match="a group of no images"):
        group_encoding(Deterministic(numbers(0, 3)))


def test_the_tutorials_arithmetic_is_its_sum():
    encodings = dict(zip(["men_g", "women_g", "women_ng", "men_ng"], numbers(4, 6), strict=True))
    weights = {"men_g": 1.0, "women_g": -1.0, "women_ng": 1.0}
    expected = encodings["men_g"] - encodings["women_g"] + encodings["women_ng"]
    found = combine(weights, encodings)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    on_device = {name: jnp.asarray(value) for name, value in encodings.items()}
    np.testing.assert_array_equal(jax.jit(lambda e: combine(weights, e))(on_device), expected)


def test_an_interpolation_is_an_affine_combination():
    a, b = numbers(2, 4)
    found = combine({"a": 0.5, "b": 0.5}, {"a": a, "b": b})
    np.testing.assert_allclose(found, interpolate(a, b, 3)[1], rtol=1e-6)


def test_weights_without_encodings_are_refused():
    with pytest.raises(ValueError, match="no encoding of b"):
        combine({"a": 1.0, "b": 1.0}, {"a": numbers(2)})
    with pytest.raises(ValueError, match="0 weights"):
        combine({}, {"a": numbers(2)})


def test_only_weights_that_sum_to_one_give_a_point():
    require_affine({"a": 1.0, "b": -1.0, "c": 1.0})
    require_affine({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3 + 9e-7})
    with pytest.raises(UserError, match=r"the weights sum to 2.* only then is a sum of encodings"):
        require_affine({"a": 1.0, "b": 1.0})
    with pytest.raises(UserError, match="sum to 0"):
        require_affine({"a": 1.0, "b": -1.0})


def test_a_direction_leads_from_the_mean_without_to_the_mean_with():
    having, without = numbers(5, 3), numbers(7, 3, seed=1)
    way = direction(having, without)
    np.testing.assert_allclose(without.mean(axis=0) + way, having.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(direction(without, having), -way)
