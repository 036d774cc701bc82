"""The diagonal Gaussian: its divergence, its draws, and its life as a pytree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from vae_jax.distributions import DiagonalGaussian, central_latent


def gaussian(batch=3, latents=4, dtype=np.float64, seed=0):
    mean, log_std = np.random.default_rng(seed).normal(size=(2, batch, latents)).astype(dtype)
    return DiagonalGaussian(mean, log_std)


def total_divergence(posterior):
    return posterior.kl_divergence().sum()


@settings(deadline=None)
@given(scale=st.sampled_from([1e-3, 1.0, 10.0]), seed=st.integers(0, 2**32))
def test_the_divergence_is_never_negative_and_is_pytorchs(scale, seed):
    mean, log_std = scale * np.random.default_rng(seed).normal(size=(2, 3, 4))
    with jax.enable_x64(True):
        divergence = np.asarray(DiagonalGaussian(mean, log_std).kl_divergence())
    # Its four terms cancel near the prior: exact to the rounding of the largest of them.
    rounding = 1e-15 * (4 + np.exp(2 * log_std) + mean**2).sum(axis=-1)
    prior = Normal(torch.zeros(()).double(), torch.ones(()).double())
    posterior = Normal(torch.tensor(mean), torch.tensor(np.exp(log_std)))
    expected = kl_divergence(posterior, prior).sum(dim=-1).numpy()
    assert divergence.shape == (3,)
    assert divergence.dtype == np.float64
    assert (divergence >= -rounding).all()
    np.testing.assert_array_less(np.abs(divergence - expected), 1e-13 * expected + rounding)


def test_the_divergence_is_zero_at_the_prior_with_gradient_zero():
    prior = DiagonalGaussian(jnp.zeros((2, 5)), jnp.zeros((2, 5)))
    np.testing.assert_array_equal(prior.kl_divergence(), [0, 0])
    for gradient in jax.grad(total_divergence)(prior):
        np.testing.assert_array_equal(gradient, np.zeros((2, 5)))


def test_the_divergences_gradient_is_the_mean_and_the_variance_less_one():
    with jax.enable_x64(True):
        posterior = gaussian()
        gradient = jax.grad(total_divergence)(posterior)
        np.testing.assert_allclose(gradient.mean, posterior.mean, rtol=1e-14)
        expected = np.exp(2 * posterior.log_std) - 1
        np.testing.assert_allclose(gradient.log_std, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("log_std", [-80.0, -200.0, 40.0])
def test_extreme_widths_keep_a_finite_divergence_and_gradient_in_float32(log_std):
    posterior = DiagonalGaussian(jnp.full((1, 1), 2.0), jnp.full((1, 1), log_std))
    expected = np.exp(2 * log_std) / 2 + 2 - log_std - 0.5
    np.testing.assert_allclose(posterior.kl_divergence(), [expected], rtol=1e-5)
    gradient = jax.grad(total_divergence)(posterior)
    np.testing.assert_allclose(gradient.log_std, [[np.exp(2 * log_std) - 1]], rtol=1e-5)
    np.testing.assert_allclose(gradient.mean, [[2.0]])


@pytest.mark.parametrize("log_std", [-80.0, 80.0])
def test_widths_that_float32_holds_give_finite_draws(log_std):
    posterior = DiagonalGaussian(jnp.zeros((1, 1)), jnp.full((1, 1), log_std))
    np.testing.assert_allclose(posterior.std, [[np.exp(log_std)]], rtol=1e-5)
    draw = posterior.reparameterize(jnp.ones((1, 1)))
    np.testing.assert_array_equal(draw, posterior.std)


def test_a_divergence_above_float32s_range_is_infinite_and_not_nan():
    posterior = DiagonalGaussian(jnp.zeros((1, 1)), jnp.full((1, 1), 80.0))
    assert posterior.kl_divergence() == np.inf
    with jax.enable_x64(True):
        wide = DiagonalGaussian(np.zeros((1, 1)), np.full((1, 1), 80.0))
        np.testing.assert_allclose(wide.kl_divergence(), [np.exp(160.0) / 2 - 80.5], rtol=1e-13)


def test_reparameterize_moves_and_stretches_the_noise():
    with jax.enable_x64(True):
        posterior, noise = gaussian(), np.random.default_rng(1).normal(size=(3, 4))
        expected = posterior.mean + np.exp(posterior.log_std) * noise
        np.testing.assert_allclose(posterior.reparameterize(noise), expected, rtol=1e-14)
        of_mean, of_log_std = jax.grad(lambda p: p.reparameterize(noise).sum())(posterior)
        np.testing.assert_array_equal(of_mean, np.ones((3, 4)))
        np.testing.assert_allclose(of_log_std, np.exp(posterior.log_std) * noise, rtol=1e-14)


def test_a_draw_is_a_function_of_its_key():
    posterior = gaussian(dtype=np.float32)
    draw = posterior.sample(jax.random.key(3))
    assert draw.shape == (3, 4)
    assert draw.dtype == np.float32
    np.testing.assert_array_equal(draw, posterior.sample(jax.random.key(3)))
    assert not np.isclose(draw, posterior.sample(jax.random.key(4))).any()


def test_draws_have_the_distributions_moments():
    count = 40_000
    mean, log_std = np.asarray([-1.0, 3.0], np.float32), np.asarray([0.5, -2.0], np.float32)
    posterior = DiagonalGaussian(np.tile(mean, (count, 1)), np.tile(log_std, (count, 1)))
    draws = np.asarray(posterior.sample(jax.random.key(0)), np.float64)
    standard = (draws - mean) / np.exp(log_std)
    assert np.abs(standard.mean(0)).max() < 5 / np.sqrt(count)
    assert np.abs((standard**2).mean(0) - 1).max() < 5 * np.sqrt(2 / count)
    assert np.abs((standard**3).mean(0)).max() < 5 * np.sqrt(15 / count)
    assert abs(standard.prod(axis=1).mean()) < 5 / np.sqrt(count)  # the latents are independent


def test_a_posterior_passes_through_jit_vmap_and_grad():
    posterior = gaussian(dtype=np.float32)
    moved = jax.jit(lambda p: p._replace(mean=p.mean + 1))(posterior)
    assert isinstance(moved, DiagonalGaussian)
    np.testing.assert_array_equal(moved.mean, posterior.mean + 1)
    stack = jax.tree.map(lambda *leaves: np.stack(leaves), posterior, gaussian(3, 4, np.float32, 1))
    divergences = jax.vmap(DiagonalGaussian.kl_divergence)(stack)
    assert divergences.shape == (2, 3)
    np.testing.assert_allclose(divergences[0], posterior.kl_divergence(), rtol=1e-6)
    assert isinstance(jax.grad(total_divergence)(posterior), DiagonalGaussian)
    assert len(jax.tree.leaves(posterior)) == 2


def test_the_central_latent_is_a_posteriors_mean_or_the_latent_itself():
    posterior = gaussian(dtype=np.float32)
    assert central_latent(posterior) is posterior.mean
    latent = jnp.ones((2, 3))
    assert central_latent(latent) is latent
