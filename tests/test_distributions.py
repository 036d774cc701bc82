"""Posteriors against PyTorch's and SciPy's normal distribution; the noise of an example."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.distributions import (
    Deterministic,
    DiagonalGaussian,
    SignedGaussian,
    example_noise,
    prior_log_prob,
)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def latents(seed, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(4, 6)).astype(dtype)


@pytest.mark.torch
@settings(deadline=None, max_examples=30)
@given(scale=st.sampled_from([1e-3, 1.0, 10.0]), seed=st.integers(0, 2**32))
def test_the_divergence_is_never_negative_and_is_pytorchs(scale, seed):
    import torch
    from torch.distributions import Normal, kl_divergence

    mean, log_std = scale * np.random.default_rng(seed).normal(size=(2, 3, 4))
    with jax.enable_x64(True):
        divergence = np.asarray(DiagonalGaussian(mean, log_std).kl_divergence())
        signed = np.asarray(SignedGaussian(mean, -np.exp(log_std)).kl_divergence())
    # The four terms cancel near the prior: exact to the rounding of the largest of them.
    rounding = 1e-15 * (4 + np.exp(2 * log_std) + mean**2).sum(axis=-1)
    prior = Normal(torch.zeros(()).double(), torch.ones(()).double())
    posterior = Normal(torch.tensor(mean), torch.tensor(np.exp(log_std)))
    expected = kl_divergence(posterior, prior).sum(dim=-1).numpy()
    assert divergence.dtype == np.float64
    assert (divergence >= -rounding).all()
    for found in (divergence, signed):
        np.testing.assert_array_less(np.abs(found - expected), 1e-13 * expected + 2 * rounding)


@pytest.mark.usefixtures("x64")
def test_the_divergences_gradient_is_the_mean_and_the_variance_less_one():
    posterior = DiagonalGaussian(latents(0), latents(1))
    gradient = jax.grad(lambda p: p.kl_divergence().sum())(posterior)
    np.testing.assert_allclose(gradient.mean, posterior.mean, rtol=1e-14)
    expected = np.exp(2 * posterior.log_std) - 1
    np.testing.assert_allclose(gradient.log_std, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("log_std", [0.0, -80.0, -200.0, 40.0])
def test_extreme_widths_keep_a_finite_divergence_and_gradient_in_float32(log_std):
    posterior = DiagonalGaussian(jnp.full((1, 1), 2.0), jnp.full((1, 1), log_std))
    expected = np.exp(2 * log_std) / 2 + 2 - log_std - 0.5  # 2 where the width is the prior's
    np.testing.assert_allclose(posterior.kl_divergence(), [expected], rtol=1e-5)
    gradient = jax.grad(lambda p: p.kl_divergence().sum())(posterior)
    np.testing.assert_allclose(gradient.log_std, [[np.exp(2 * log_std) - 1]], rtol=1e-5)
    np.testing.assert_array_equal(gradient.mean, [[2.0]])


def test_a_divergence_above_float32s_range_is_infinite_and_its_draws_are_not():
    wide = DiagonalGaussian(jnp.zeros((1, 1)), jnp.full((1, 1), 80.0))
    assert wide.kl_divergence() == np.inf
    np.testing.assert_allclose(wide.reparameterize(jnp.ones((1, 1))), [[np.exp(80.0)]], rtol=1e-5)
    zero = SignedGaussian(jnp.zeros((1, 2)), jnp.asarray([[0.0, 1.0]]))
    assert zero.kl_divergence() == np.inf  # as the original's


@pytest.mark.usefixtures("x64")
def test_reparameterize_moves_and_stretches_the_noise_and_refuses_to_share_it(unchecked):
    posterior, noise = DiagonalGaussian(latents(0), latents(1)), latents(2)
    expected = posterior.mean + np.exp(posterior.log_std) * noise
    np.testing.assert_allclose(posterior.reparameterize(noise), expected, rtol=1e-14)
    of_mean, of_log_std = jax.grad(lambda p: p.reparameterize(noise).sum())(posterior)
    np.testing.assert_array_equal(of_mean, np.ones((4, 6)))
    np.testing.assert_allclose(of_log_std, np.exp(posterior.log_std) * noise, rtol=1e-14)
    signed = SignedGaussian(posterior.mean, latents(1))
    np.testing.assert_array_equal(signed.reparameterize(noise), signed.mean + signed.std * noise)
    for wrong in (None, noise[:1]):
        with pytest.raises(ValueError, match=r"expected \(4, 6\)"):
            posterior.reparameterize(wrong)


@pytest.mark.parametrize("kind", ["log_std", "signed std"])
def test_draws_are_a_function_of_their_key_and_have_the_distributions_moments(kind):
    count = 40_000
    mean, std = np.asarray([-1.0, 3.0], np.float32), np.asarray([1.6, -0.1], np.float32)
    wide = [np.tile(value, (count, 1)) for value in (mean, std)]
    if kind == "log_std":
        posterior = DiagonalGaussian(wide[0], np.log(np.abs(wide[1])))
    else:
        posterior = SignedGaussian(*wide)
    draws = posterior.sample(jax.random.key(0))
    assert draws.dtype == np.float32
    np.testing.assert_array_equal(draws, posterior.sample(jax.random.key(0)))
    assert not np.isclose(draws, posterior.sample(jax.random.key(4))).all(axis=1).any()
    standard = (np.asarray(draws, np.float64) - mean) / std
    assert np.abs(standard.mean(0)).max() < 5 / np.sqrt(count)
    assert np.abs((standard**2).mean(0) - 1).max() < 5 * np.sqrt(2 / count)
    assert np.abs((standard**3).mean(0)).max() < 5 * np.sqrt(15 / count)
    assert abs(standard.prod(axis=1).mean()) < 5 / np.sqrt(count)  # the latents are independent


def test_a_posterior_is_a_pytree_and_its_mean_stands_for_it():
    posterior = DiagonalGaussian(latents(0, np.float32), latents(1, np.float32))
    moved = jax.jit(lambda p: p._replace(mean=p.mean + 1))(posterior)
    assert isinstance(moved, DiagonalGaussian)
    np.testing.assert_array_equal(moved.mean, posterior.mean + 1)
    stack = jax.tree.map(lambda a: np.stack([a, a + 1]), posterior)
    divergences = jax.vmap(DiagonalGaussian.kl_divergence)(stack)
    np.testing.assert_allclose(divergences[0], posterior.kl_divergence(), rtol=1e-6)


def test_a_plain_autoencoders_posterior_is_a_point():
    point = Deterministic(latents(0))
    assert np.asarray(point) is point.mean
    assert np.asarray(point, np.float64).dtype == np.float64
    assert point.reparameterize(latents(1)) is point.sample(jax.random.key(0)) is point.mean
    np.testing.assert_array_equal(point.std, np.zeros_like(point.mean))
    np.testing.assert_array_equal(point.kl_divergence(), np.zeros(len(point.mean)))


@pytest.mark.usefixtures("x64")
def test_densities_are_scipys_and_the_divergence_is_their_mean_difference():
    mean, log_std, z = 0.3 * latents(0), 0.3 * latents(1), latents(2)
    normal = scipy.stats.norm(mean, np.exp(log_std)).logpdf(z).sum(-1)
    posterior = DiagonalGaussian(mean, log_std)
    np.testing.assert_allclose(posterior.log_prob(z), normal, rtol=1e-12)
    mirrored = SignedGaussian(mean, -np.exp(log_std))  # the density takes the magnitude
    np.testing.assert_allclose(mirrored.log_prob(z), normal, rtol=1e-12)
    standard = scipy.stats.norm.logpdf(3 * z).sum(-1)
    np.testing.assert_allclose(prior_log_prob(3 * z), standard, rtol=1e-12)
    draws = mean + np.exp(log_std) * np.random.default_rng(3).normal(size=(20_000, 4, 6))
    each = np.asarray(jax.vmap(lambda z: posterior.log_prob(z) - prior_log_prob(z))(draws))
    error = each.std(0) / math.sqrt(len(draws))
    assert (np.abs(each.mean(0) - posterior.kl_divergence()) < 5 * error).all()


def test_an_examples_noise_does_not_depend_on_how_many_follow_it():
    key = jax.random.key(3)
    large, small = (np.asarray(example_noise(key, count, 5)) for count in (32, 7))
    assert small.tobytes() == large[:7].tobytes()
    keys = jax.random.split(key, 7)  # the contract with those who draw the same noise
    np.testing.assert_array_equal(small[6], jax.random.normal(keys[6], (5,)))


def test_noise_is_standard_normal_and_differs_between_examples():
    noise = np.asarray(example_noise(jax.random.key(1), 2000, 50))
    assert noise.shape == (2000, 50)
    assert noise.dtype == np.float32
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert len(np.unique(noise, axis=0)) == 2000
    # Neither neighbours in the batch nor neighbours in the latent know of each other.
    for pairs in (noise[1:] * noise[:-1], noise[:, 1:] * noise[:, :-1]):
        assert abs(pairs.mean()) < 5 / np.sqrt(pairs.size)
