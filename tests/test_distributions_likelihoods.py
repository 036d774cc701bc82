"""Likelihoods of images against SciPy's densities or the formula that a tutorial writes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from vae_jax.distributions import Bernoulli, Gaussian, OffsetBernoulli, SquaredError

SHAPE = (3, 4, 5, 2)
PIXELS = math.prod(SHAPE[1:])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def images(seed=0, dtype=np.float64):
    return np.random.default_rng(seed).uniform(size=SHAPE).astype(dtype)


def per_image(values):
    return np.asarray(values).reshape(SHAPE[0], -1).sum(1)


@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_bernoulli_is_the_cross_entropy_of_grey_pixels_and_of_binary_ones(scale):
    logits = scale * np.random.default_rng(1).normal(size=SHAPE)
    said = Bernoulli(logits)
    white, black = scipy.special.log_expit(logits), scipy.special.log_expit(-logits)
    for x in (images(), np.round(images())):
        expected = per_image(x * white + (1 - x) * black)
        np.testing.assert_allclose(said.log_prob(x), expected, rtol=1e-12)
        np.testing.assert_array_equal(said.reconstruction_loss(x), -said.log_prob(x))
    np.testing.assert_allclose(said.mean, scipy.special.expit(logits), rtol=1e-12)


@pytest.mark.parametrize("log_std", [-5.0, 0.0, 2.5])
def test_gaussian_is_the_normal_density_with_its_gradient(log_std):
    mean, x = images(2), images()
    said = Gaussian(mean, jnp.asarray(log_std))
    expected = scipy.stats.norm(mean, math.exp(log_std)).logpdf(x)
    np.testing.assert_allclose(said.log_prob(x), per_image(expected), rtol=1e-12)
    np.testing.assert_array_equal(said.reconstruction_loss(x), -said.log_prob(x))
    assert said.mean is mean
    found = jax.grad(lambda s: Gaussian(mean, s).log_prob(x).sum())(jnp.asarray(log_std))
    slope = (((x - mean) / math.exp(log_std)) ** 2 - 1).sum()
    np.testing.assert_allclose(found, slope, rtol=1e-11)


def test_the_offset_bernoulli_is_the_tutorials_formula():
    g, x = images(2), images()
    said = OffsetBernoulli(g)
    expected = x * np.log(1e-8 + g) + (1 - x) * np.log(1e-8 + 1 - g)
    np.testing.assert_allclose(said.log_prob(x), per_image(expected), rtol=1e-13)
    np.testing.assert_array_equal(said.reconstruction_loss(x), -said.log_prob(x))
    # Of moderate logits it is the sound form, and so is its gradient.
    logits = np.clip(scipy.special.logit(g), -3, 3)
    near, slope = jax.value_and_grad(lambda h: Bernoulli(h).log_prob(x).sum())(logits)
    moderate = OffsetBernoulli(scipy.special.expit(logits))
    np.testing.assert_allclose(moderate.log_prob(x).sum(), near, rtol=1e-6)
    found = jax.grad(lambda h: OffsetBernoulli(jax.nn.sigmoid(h)).log_prob(x).sum())(logits)
    np.testing.assert_allclose(found, slope, rtol=0, atol=1e-6)


def test_the_offset_bounds_the_loss_of_black_and_white_in_float64_and_not_in_float32():
    g, x = np.ones(SHAPE), np.zeros(SHAPE)
    np.testing.assert_allclose(
        OffsetBernoulli(g).log_prob(x), [PIXELS * math.log(1e-8)] * 3, rtol=1e-6
    )
    single = OffsetBernoulli(g.astype(np.float32))
    assert (single.log_prob(x.astype(np.float32)) == -np.inf).all()
    assert np.isnan(single.log_prob(g.astype(np.float32))).all()  # 0 times infinity, as it was


def test_the_squared_error_is_a_gaussians_of_variance_one_half_up_to_a_constant():
    decoded, x = images(2), images()
    said = SquaredError(decoded)
    np.testing.assert_allclose(
        said.reconstruction_loss(x), per_image((x - decoded) ** 2), rtol=1e-13
    )
    gaussian = Gaussian(decoded, jnp.asarray(0.5 * math.log(0.5)))
    constant = PIXELS * 0.5 * math.log(math.pi)
    np.testing.assert_allclose(
        gaussian.reconstruction_loss(x) - constant, said.reconstruction_loss(x), rtol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_have_a_finite_loss_and_the_right_gradient(dtype):
    loss = jax.jit(jax.value_and_grad(lambda h, x: Bernoulli(h).reconstruction_loss(x).sum()))
    for logit in (-1000.0, 1000.0):
        for pixel in (0.0, 0.3, 1.0):
            value, gradient = loss(np.full(SHAPE, logit, dtype), np.full(SHAPE, pixel, dtype))
            assert value.dtype == gradient.dtype == dtype
            # Far out the cross entropy is linear; its slope is the probability less the pixel.
            probability = 1.0 if logit > 0 else 0.0
            np.testing.assert_allclose(gradient, np.full(SHAPE, probability - pixel), atol=1e-7)
            expected = math.prod(SHAPE) * 1000 * abs(probability - pixel)
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-30)


def test_errors_of_saturated_images_have_finite_gradients():
    @jax.jit
    def gradients(logits, log_std, x):
        def loss(h, log_std):
            decoded = jax.nn.sigmoid(h)
            total = SquaredError(decoded).reconstruction_loss(x)
            return (total + Gaussian(decoded, log_std).reconstruction_loss(x)).sum()

        return jax.grad(loss, argnums=(0, 1))(logits, log_std)

    for logit in (-1000.0, 1000.0):
        logits, log_std = np.full(SHAPE, logit, np.float32), np.zeros((), np.float32)
        for gradient in gradients(logits, log_std, images(dtype=np.float32)):
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
def test_each_says_its_unit_through_jax_and_scores_an_image_by_itself(likelihood, unit):
    assert likelihood.unit == type(likelihood).unit == unit
    assert hasattr(likelihood, "log_prob") == (unit == "nats")  # a squared error is no likelihood
    through = jax.jit(lambda said: said)(likelihood)
    assert type(through) is type(likelihood)
    assert through.unit == unit
    x = images(3)
    together = likelihood.reconstruction_loss(x)
    assert together.shape == (SHAPE[0],)
    one = likelihood._replace(**{likelihood._fields[0]: likelihood[0][1:2]})
    np.testing.assert_array_equal(one.reconstruction_loss(x[1:2]), together[1:2])
