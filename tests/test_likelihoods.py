"""What decoders say of an image, and densities of latents, against PyTorch's or the formula."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import distributions as theirs

from vae_jax.distributions import (
    Bernoulli,
    DiagonalGaussian,
    Gaussian,
    OffsetBernoulli,
    SignedGaussian,
    SquaredError,
    prior_log_prob,
)

SHAPE = (3, 4, 5, 2)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def images(dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(size=SHAPE).astype(dtype)


def normals(dtype=np.float64, seed=1, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=SHAPE)).astype(dtype)


def per_image(values):
    return values.reshape(len(values), -1).sum(1).numpy()


@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("grey", [True, False])
def test_bernoulli_is_pytorchs_for_grey_pixels_and_for_binary_ones(scale, grey):
    logits, x = normals(scale=scale), images()
    x = x if grey else np.round(x)
    said = Bernoulli(logits)
    expected = theirs.Bernoulli(logits=torch.tensor(logits), validate_args=False)
    np.testing.assert_allclose(
        said.log_prob(x), per_image(expected.log_prob(torch.tensor(x))), rtol=1e-12
    )
    np.testing.assert_array_equal(said.reconstruction_loss(x), -said.log_prob(x))
    np.testing.assert_allclose(said.mean, torch.sigmoid(torch.tensor(logits)), rtol=1e-12)


@pytest.mark.parametrize("log_std", [-5.0, 0.0, 2.5])
def test_gaussian_is_pytorchs(log_std):
    mean, x = images(seed=2), images()
    said = Gaussian(mean, jnp.asarray(log_std))
    expected = theirs.Normal(torch.tensor(mean), math.exp(log_std)).log_prob(torch.tensor(x))
    np.testing.assert_allclose(said.log_prob(x), per_image(expected), rtol=1e-12)
    np.testing.assert_array_equal(said.reconstruction_loss(x), -said.log_prob(x))
    assert said.mean is mean


def test_the_gaussians_scale_has_pytorchs_gradient():
    mean, x = images(seed=2), images()
    found = jax.grad(lambda s: Gaussian(mean, s).log_prob(x).sum())(jnp.asarray(-0.7))
    log_std = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
    normal = theirs.Normal(torch.tensor(mean), log_std.exp())
    normal.log_prob(torch.tensor(x)).sum().backward()
    np.testing.assert_allclose(found, log_std.grad, rtol=1e-12)


def test_the_offset_bernoulli_is_the_tutorials_formula():
    g, x = images(seed=2), images()
    said = OffsetBernoulli(g)
    expected = x * np.log(1e-8 + g) + (1 - x) * np.log(1e-8 + 1 - g)
    np.testing.assert_allclose(said.log_prob(x), expected.sum((1, 2, 3)), rtol=1e-13)
    np.testing.assert_array_equal(said.reconstruction_loss(x), -said.log_prob(x))
    near = Bernoulli(np.log(g) - np.log1p(-g)).log_prob(x)
    np.testing.assert_allclose(said.log_prob(x), near, rtol=1e-6)


def test_the_offset_bounds_the_loss_of_black_and_white_in_float64_and_not_in_float32():
    g, x = np.ones(SHAPE), np.zeros(SHAPE)
    pixels = math.prod(SHAPE[1:])
    np.testing.assert_allclose(
        OffsetBernoulli(g).log_prob(x), [pixels * math.log(1e-8)] * 3, rtol=1e-6
    )
    single = OffsetBernoulli(g.astype(np.float32))
    assert (single.log_prob(x.astype(np.float32)) == -np.inf).all()
    assert np.isnan(single.log_prob(g.astype(np.float32))).all()  # 0 times infinity, as it was


def test_the_squared_error_is_a_gaussians_of_variance_one_half_up_to_a_constant():
    decoded, x = images(seed=2), images()
    said = SquaredError(decoded)
    np.testing.assert_allclose(
        said.reconstruction_loss(x), ((x - decoded) ** 2).reshape(3, -1).sum(1), rtol=1e-13
    )
    gaussian = Gaussian(decoded, jnp.asarray(0.5 * math.log(0.5)))
    constant = math.prod(SHAPE[1:]) * 0.5 * math.log(math.pi)
    np.testing.assert_allclose(
        gaussian.reconstruction_loss(x) - constant, said.reconstruction_loss(x), rtol=1e-12
    )
    assert not hasattr(said, "log_prob")  # it is no likelihood


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
@pytest.mark.parametrize("pixel", [0.0, 0.3, 1.0])
def test_extreme_logits_have_a_finite_loss_and_the_right_gradient(dtype, logit, pixel):
    x, logits = np.full(SHAPE, pixel, dtype), np.full(SHAPE, logit, dtype)
    value, gradient = jax.value_and_grad(lambda h: Bernoulli(h).reconstruction_loss(x).sum())(
        logits
    )
    assert value.dtype == gradient.dtype == dtype
    # Far out the cross entropy is linear; its slope is the probability less the pixel.
    probability = 1.0 if logit > 0 else 0.0
    np.testing.assert_allclose(gradient, np.full(SHAPE, probability - pixel), atol=1e-7)
    expected = math.prod(SHAPE) * 1000 * abs(probability - pixel)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("logit", [-1000.0, 1000.0])
def test_errors_of_saturated_images_have_finite_gradients(logit):
    logits, x = np.full(SHAPE, logit, np.float32), images(np.float32)

    def loss(h, log_std):
        decoded = jax.nn.sigmoid(h)
        total = SquaredError(decoded).reconstruction_loss(x)
        return (total + Gaussian(decoded, log_std).reconstruction_loss(x)).sum()

    for gradient in jax.grad(loss, argnums=(0, 1))(logits, jnp.asarray(0.0, jnp.float32)):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("likelihood", "unit"),
    [
        (SquaredError(images()), "squared error"),
        (Bernoulli(images()), "nats"),
        (OffsetBernoulli(images()), "nats"),
        (Gaussian(images(), np.zeros(())), "nats"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_says_its_unit_and_keeps_it_through_jax(likelihood, unit):
    assert likelihood.unit == type(likelihood).unit == unit
    assert hasattr(likelihood, "log_prob") == (unit == "nats")
    through = jax.jit(lambda said: said)(likelihood)
    assert type(through) is type(likelihood)
    assert through.unit == unit
    assert likelihood.reconstruction_loss(images(seed=3)).shape == (SHAPE[0],)


def test_an_image_is_scored_by_itself_whatever_the_batch():
    x, z = images(), normals()
    for said in (SquaredError, Bernoulli, lambda m: Gaussian(m, jnp.asarray(0.3))):
        together = said(z).reconstruction_loss(x)
        np.testing.assert_array_equal(said(z[1:2]).reconstruction_loss(x[1:2]), together[1:2])


def latents(seed):
    return np.random.default_rng(seed).normal(size=(4, 6))


def test_a_diagonal_gaussians_density_is_pytorchs():
    mean, log_std, z = latents(0), latents(1), latents(2)
    normal = theirs.Normal(torch.tensor(mean), torch.tensor(np.exp(log_std)))
    expected = normal.log_prob(torch.tensor(z)).sum(-1)
    np.testing.assert_allclose(DiagonalGaussian(mean, log_std).log_prob(z), expected, rtol=1e-12)


def test_a_signed_gaussians_density_and_divergence_are_pytorchs_for_the_magnitude():
    mean, std, z = latents(0), latents(1), latents(2)
    assert (std < 0).any()
    assert (std > 0).any()
    signed = SignedGaussian(mean, std)
    normal = theirs.Normal(torch.tensor(mean), torch.tensor(np.abs(std)))
    expected = normal.log_prob(torch.tensor(z)).sum(-1)
    np.testing.assert_allclose(signed.log_prob(z), expected, rtol=1e-12)
    prior = theirs.Normal(torch.zeros(()).double(), torch.ones(()).double())
    divergence = theirs.kl_divergence(normal, prior).sum(-1)
    np.testing.assert_allclose(signed.kl_divergence(), divergence, rtol=1e-12)
    np.testing.assert_array_equal(signed.reparameterize(z), mean + std * z)


def test_a_signed_gaussians_draw_is_a_function_of_its_key_and_has_its_moments():
    ones = np.ones((20_000, 1), np.float32)
    signed = SignedGaussian(3 * ones, -2 * ones)
    draws = np.asarray(signed.sample(jax.random.key(0)))
    np.testing.assert_array_equal(draws, signed.sample(jax.random.key(0)))
    assert abs(draws.mean() - 3) < 5 * 2 / math.sqrt(20_000)
    assert abs(draws.std() - 2) < 5 * 2 / math.sqrt(2 * 20_000)
    with pytest.raises(ValueError, match="noise of shape None; expected"):
        signed.reparameterize(None)


def test_the_priors_density_is_that_of_the_standard_normal():
    z = 3 * latents(2)
    expected = theirs.Normal(0.0, 1.0).log_prob(torch.tensor(z)).sum(-1)
    np.testing.assert_allclose(prior_log_prob(z), expected, rtol=1e-12)
    standard = DiagonalGaussian(np.zeros((4, 6)), np.zeros((4, 6)))
    np.testing.assert_allclose(prior_log_prob(z), standard.log_prob(z), rtol=1e-14)


def test_the_divergence_is_the_mean_difference_of_the_densities():
    mean, log_std = 0.3 * latents(0), 0.3 * latents(1)
    posterior = DiagonalGaussian(mean, log_std)
    noise = np.random.default_rng(3).normal(size=(20_000, 4, 6))
    z = mean + np.exp(log_std) * noise
    each = jax.vmap(lambda z: posterior.log_prob(z) - prior_log_prob(z))(z)
    error = np.asarray(each).std(0) / math.sqrt(len(noise))
    assert (np.abs(np.asarray(each).mean(0) - posterior.kl_divergence()) < 5 * error).all()
