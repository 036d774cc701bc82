"""Bounds against a model whose likelihood is known exactly."""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.distributions import DiagonalGaussian, Gaussian, SignedGaussian
from vae_jax.models.base import Autoencoder
from vae_jax.objectives import iwae_bound

# Orthogonal columns: the posterior of x = W z + b + noise, z standard normal, is diagonal.
W = np.array([[1.0, 0.5], [1.0, -0.5], [1.0, 0.5], [1.0, -0.5]])
B = np.array([0.1, -0.2, 0.3, 0.0])
NOISE = 0.7
OFFSET = np.array([[0.0] * 4, [1.0, -1.0, 2.0, 0.5]])  # by label
PRECISION = (W**2).sum(axis=0) / NOISE**2 + 1


class Linear(Autoencoder):
    """Exact where ``widen`` is 1 and ``shift`` 0; ``signed`` mirrors the noise of a latent."""

    latent_size: int = 2
    widen: float = 1.0
    shift: float = 0.0
    signed: bool = False
    image_shape: ClassVar[tuple[int, int, int]] = (2, 2, 1)

    def encode(self, x, label=None, *, train=False, mask=None):
        rest = x.reshape(-1, 4) - self.mean_image(x.dtype, label)
        weights = jnp.asarray(W / NOISE**2 / PRECISION, x.dtype)
        mean = rest @ weights + self.shift
        std = jnp.asarray(self.widen / np.sqrt(PRECISION), x.dtype)[None] + jnp.zeros_like(mean)
        if self.signed:
            return SignedGaussian(mean, std * jnp.asarray([[-1.0, 1.0]], x.dtype))
        return DiagonalGaussian(mean, jnp.log(std))

    def image_likelihood(self, z, label=None, *, train=False, mask=None):
        image = z @ jnp.asarray(W.T, z.dtype) + self.mean_image(z.dtype, label)
        return Gaussian(image.reshape(-1, 2, 2, 1), jnp.asarray(math.log(NOISE), z.dtype))

    def mean_image(self, dtype, label):
        given = label is not None
        offset = label @ jnp.asarray(OFFSET, dtype) if given else jnp.zeros((1, 4), dtype)
        return jnp.asarray(B, dtype)[None] + offset


WRONG = Linear(widen=1.4, shift=0.3)


def log_likelihood(x):
    covariance = W @ W.T + NOISE**2 * np.eye(4)
    rest = np.asarray(x, np.float64).reshape(-1, 4) - B
    squares = (rest @ np.linalg.inv(covariance) * rest).sum(axis=1)
    return -0.5 * (squares + np.linalg.slogdet(2 * np.pi * covariance)[1])


def pictures(count, dtype=np.float32, seed=0):
    random = np.random.default_rng(seed)
    z, noise = random.normal(size=(count, 2)), random.normal(size=(count, 4))
    return (z @ W.T + B + NOISE * noise).astype(dtype).reshape(-1, 2, 2, 1)


def bound(model, x, label=None, *, key=0, **settings):
    return iwae_bound(model, {}, x, jax.random.key(key), label, **settings)


@pytest.mark.parametrize("signed", [False, True])
def test_with_the_exact_posterior_every_draw_gives_the_likelihood(signed):
    x = pictures(6)
    one, seven = (bound(Linear(signed=signed), x, num_samples=k, chunk=1) for k in (1, 7))
    for found in (one, seven):
        assert found.value.shape == (6,)
        np.testing.assert_allclose(found.value, log_likelihood(x), rtol=2e-6)
    assert np.isnan(one.monte_carlo_error).all()
    assert np.asarray(seven.monte_carlo_error).max() < 1e-3  # rounding


@pytest.mark.slow
def test_in_float64_the_bound_is_exact_to_float64():
    with jax.enable_x64(True):
        x = pictures(6, np.float64)
        found = bound(Linear(), x, num_samples=5, chunk=2)
        assert found.value.dtype == found.monte_carlo_error.dtype == jnp.float64
        np.testing.assert_allclose(found.value, log_likelihood(x), rtol=1e-13)


@pytest.mark.slow
def test_with_a_wrong_posterior_the_bound_rises_to_the_likelihood_from_below():
    model, x = WRONG, pictures(2000)
    gaps = []
    for k in (1, 4, 16, 256):
        gap = log_likelihood(x) - np.asarray(bound(model, x, num_samples=k, chunk=1).value)
        gaps.append(gap.mean())
        assert gap.mean() > -4 * gap.std() / math.sqrt(len(x))
        if k == 1:  # the divergence of the wrong posterior from the exact one
            terms = 1.4**2 + 0.3**2 * PRECISION - 1 - 2 * math.log(1.4)
            error = gap.std() / math.sqrt(len(x))
            assert abs(gap.mean() - terms.sum() / 2) < 4 * error
    assert gaps[0] > 3 * gaps[1] > 6 * gaps[2] > 0.05
    assert abs(gaps[3]) < 0.02


@pytest.mark.slow
def test_the_monte_carlo_error_is_how_far_other_draws_move_the_bound():
    x = np.repeat(pictures(1), 2000, axis=0)
    found = bound(WRONG, x, num_samples=200, chunk=1)
    spread = np.asarray(found.value).std()
    assert 0.01 < spread < 0.3
    np.testing.assert_allclose(np.asarray(found.monte_carlo_error).mean(), spread, rtol=0.1)


@pytest.mark.parametrize("chunk", [3, 50])
def test_the_chunk_changes_nothing(chunk):
    model, x = WRONG, pictures(5)
    whole = bound(model, x, num_samples=7, chunk=7)
    found = bound(model, x, num_samples=7, chunk=chunk)
    np.testing.assert_allclose(found.value, whole.value, rtol=1e-6)
    np.testing.assert_allclose(found.monte_carlo_error, whole.monte_carlo_error, rtol=1e-4)


def test_more_draws_begin_with_those_of_fewer():
    model, x = WRONG, pictures(5)
    sums = [k * np.exp(bound(model, x, num_samples=k, chunk=3).value) for k in range(3, 9)]
    assert (np.diff(sums, axis=0) > 0).all()


def test_an_example_has_the_same_bound_in_any_batch():
    model, x, keys = WRONG, pictures(5), jax.random.split(jax.random.key(0), 5)
    together = bound(model, x, num_samples=6, chunk=3).value
    alone = iwae_bound(model, {}, x[3:4], keys[3:4], num_samples=6, chunk=3).value
    np.testing.assert_allclose(alone, together[3:4], rtol=1e-6)
    other = bound(model, x, key=1, num_samples=6, chunk=3).value
    assert not np.isclose(other, together).any()


@pytest.mark.slow
def test_a_label_reaches_encoder_and_decoder_of_every_draw():
    chosen = [1, 0, 1, 1, 0]
    x, label = pictures(5), np.eye(2, dtype=np.float32)[chosen]
    moved = x + OFFSET[chosen].astype(np.float32).reshape(-1, 2, 2, 1)
    found = bound(WRONG, moved, label, num_samples=4, chunk=3).value
    plain = bound(WRONG, x, num_samples=4, chunk=3).value
    np.testing.assert_allclose(found, plain, rtol=1e-5)


def test_a_bound_needs_draws():
    for settings in ({"num_samples": 0}, {"num_samples": 1, "chunk": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            bound(Linear(), pictures(1), **settings)
