"""Figures of the project's models on a few images."""

import dataclasses
import functools
import json
import math

import jax
import numpy as np
import pytest

from vae_jax.errors import DataError, UserError
from vae_jax.evaluation import _binarized, active_units, evaluate
from vae_jax.models import create_model, get_spec, init_variables
from vae_jax.pretrained import Pretrained


def test_a_latent_is_active_where_its_mean_varies_over_the_data():
    signs = np.array([[-1.0], [1.0]] * 50, np.float32)
    means = signs * np.array([[1.0, 0.11, 0.09, 0.0]], np.float32)
    means += np.array([[0.0, 5.0, 5.0, 5.0]], np.float32)
    assert active_units(means).tolist() == [True, True, False, False]
    assert active_units(means, threshold=0.5).tolist() == [True, False, False, False]


SMALL = {
    "digits_ae": {"latent_size": 3, "hidden_size": 4},
    "digits_cvae": {"channels": 2},
    "conv_vae": {"latent_size": 3, "widths": (2, 2), "likelihood": "bernoulli"},
}


@functools.cache
def weights(name):
    model, random = create_model(name, **SMALL[name]), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    return jax.tree.map(lambda a: 0.3 * random.standard_normal(a.shape, np.float32), shapes)


def digits(count=7, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 28, 28, 1), np.uint8), np.arange(count) % 10


def measure(name, count=7, *, variables=None, images=None, **settings):
    stored, labels = digits(count)
    stored = stored if images is None else images
    return evaluate(pretrained(name, variables), stored, labels, **settings)


def pretrained(name, variables=None):
    recipe = get_spec(name).recipe
    return Pretrained(name, SMALL[name], variables or weights(name), recipe)


def test_a_likelihood_gives_an_elbo_and_bounds_above_it():
    found = measure("conv_vae", num_samples=[5, 40], binarize="threshold")
    assert (found.unit, found.num_images, found.binarize) == ("nats", 7, "threshold")
    reconstruction, divergence = found.terms["reconstruction"], found.terms["kl_divergence"]
    assert found.elbo is not None
    assert found.elbo.mean == pytest.approx(-reconstruction.mean - divergence.mean)
    assert list(found.bounds) == [5, 40]
    assert found.elbo.mean < found.bounds[40].mean < -300
    assert 0 < found.bounds[40].monte_carlo_error < found.bounds[5].monte_carlo_error
    assert found.active_units == [0, 1, 2]
    # The recipe takes the mean over a batch of 64, which holds all seven.
    assert found.recipe_terms["reconstruction"] == pytest.approx(reconstruction.mean)
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["bounds"]["40"]["mean"] == found.bounds[40].mean
    assert plain["elbo"] == {**dataclasses.asdict(found.elbo), "monte_carlo_error": None}


@pytest.mark.slow
def test_the_batches_change_no_figure():
    whole, parts = (
        measure("conv_vae", num_samples=5, batch_size=size, binarize="sample", seed=5)
        for size in (100, 3)
    )
    for name in ("elbo", "psnr"):
        one, other = getattr(whole, name), getattr(parts, name)
        assert other.mean == pytest.approx(one.mean, rel=1e-6)
        assert other.standard_error == pytest.approx(one.standard_error, rel=1e-4)
    assert parts.bounds[5].mean == pytest.approx(whole.bounds[5].mean, rel=1e-6)


def test_a_plain_autoencoder_has_a_squared_error_and_no_more():
    found = measure("digits_ae", 33, batch_size=7)
    assert found.unit == "squared error"
    assert list(found.terms) == ["reconstruction"]
    assert found.elbo is found.active_units is None
    assert found.bounds == {}
    # Sums over batches of 32 and 1, and the mean of both.
    mean = found.terms["reconstruction"].mean
    assert found.recipe_terms["reconstruction"] == pytest.approx(33 * mean / 2)


@pytest.mark.slow
def test_a_conditional_model_is_measured_with_its_labels():
    images = np.repeat(digits(1)[0], 7, axis=0)
    found = measure("digits_cvae", images=images)
    assert found.elbo is None
    assert list(found.terms) == ["reconstruction", "kl_divergence"]
    assert found.terms["kl_divergence"].standard_error > 0  # one picture, seven labels
    with pytest.raises(DataError, match="labels 0 to 9"):
        evaluate(pretrained("digits_cvae"), images, np.full(7, 10))
    with pytest.raises(DataError, match="there are others, or none"):
        evaluate(pretrained("digits_cvae"), images)


@pytest.mark.parametrize("name", ["digits_ae", "digits_cvae"])
def test_psnr_of_a_grey_answer_to_black_is_six_decibels_in_either_pixel_range(name):
    zeros = jax.tree.map(np.zeros_like, weights(name))
    found = measure(name, variables=zeros, images=np.zeros((7, 28, 28, 1), np.uint8))
    assert found.psnr.mean == pytest.approx(20 * math.log10(2), abs=1e-5)
    assert found.psnr.standard_error == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_pixels_become_white_above_one_half_or_with_their_probability():
    keys = jax.random.split(jax.random.key(0), 40)
    stored = np.tile(np.array([0, 51, 127, 128, 255], np.uint8), (40, 28, 4, 1)).reshape(
        40, 28, 20, 1
    )
    halves = np.asarray(_binarized(stored, "threshold", keys))
    np.testing.assert_array_equal(halves, np.where(stored > 127, 255, 0))
    drawn = np.asarray(_binarized(stored, "sample", keys))
    assert set(np.unique(drawn)) == {0, 255}
    share = (drawn == 255).reshape(-1, 5).mean(axis=0)
    np.testing.assert_allclose(share, np.array([0, 51, 127, 128, 255]) / 255, atol=0.04)
    assert share[[0, 4]].tolist() == [0, 1]
    np.testing.assert_array_equal(_binarized(stored[3:], "sample", keys[3:]), drawn[3:])


@pytest.mark.parametrize("name", ["digits_ae", "digits_cvae"])
def test_a_model_without_a_likelihood_has_no_bound_and_the_error_says_what_to_try(name):
    with pytest.raises(UserError, match=r"conv_vae with --hyper likelihood=bernoulli"):
        measure(name, num_samples=2)


def test_what_cannot_be_measured_is_refused():
    broken = jax.tree.map(lambda a: np.full_like(a, np.nan), weights("digits_ae"))
    with pytest.raises(UserError, match="not finite"):
        measure("digits_ae", variables=broken)
    with pytest.raises(DataError, match="no images"):
        measure("digits_ae", 0)
    single = measure("digits_ae", 1)
    assert single.terms["reconstruction"].standard_error is None
