"""What a model does not compute with is refused, before it broadcasts into something else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax
from vae_jax.distributions import DiagonalGaussian
from vae_jax.errors import UserError


@pytest.fixture(scope="module")
def digits():
    model = vae_jax.create_model("digits_ae")
    return model, model.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))


@pytest.mark.parametrize("shape", [(4, 14, 14, 4), (28, 28, 1), (2, 1, 28, 28), (2, 784)])
def test_images_of_another_shape_are_refused(digits, shape):
    model, variables = digits
    with pytest.raises((ValueError, TypeError), match=r"expected \[B, 28, 28, 1\]|Type-check"):
        model.apply(variables, jnp.zeros(shape), method="encode")


@pytest.mark.parametrize("shape", [(2, 3, 20), (20,), (2, 21)])
def test_latents_of_another_shape_are_refused(digits, shape):
    model, variables = digits
    with pytest.raises((ValueError, TypeError), match=r"expected \[B, 20\]|Type-check"):
        model.apply(variables, jnp.zeros(shape), method="decode")


def test_noise_is_never_shared_between_examples():
    posterior = DiagonalGaussian(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
    with pytest.raises((ValueError, TypeError), match=r"expected \(2, 3\)|Type-check"):
        posterior.reparameterize(jnp.zeros((1, 3)))


def test_a_loss_without_the_models_statistics_is_refused(monkeypatch):
    loss = vae_jax.make_loss("face_vae", latent_size=2)
    model = vae_jax.create_model("face_vae", latent_size=2)
    image, noise = jnp.zeros((1, 256, 256, 3)), jnp.zeros((1, 2))
    shapes = jax.eval_shape(lambda k: model.init(k, image, noise=noise), jax.random.key(0))
    with pytest.raises(ValueError, match="has running statistics"):
        jax.eval_shape(lambda p: loss(p, {}, {"image": image}, noise), shapes["params"])


def test_hyperparameters_may_be_numpy_integers_and_not_booleans():
    assert vae_jax.create_model("digits_ae", latent_size=np.int64(25)).latent_size == 25
    with pytest.raises(UserError, match="expected a whole number"):
        vae_jax.create_model("digits_ae", latent_size=True)


def test_a_learning_rate_that_is_no_number_is_refused_by_name():
    # UserError; or, before it, the error of the type checks that only tests run under.
    with pytest.raises((UserError, TypeError), match="learning_rate"):
        vae_jax.make_optimizer("digits_ae", learning_rate="x")


def test_exported_tensors_own_their_memory_and_keep_the_references_order(digits):
    _, variables = digits
    tensors = vae_jax.export_weights("digits_ae", variables)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(variables)]
    for tensor in tensors.values():
        assert tensor.flags.writeable
        assert not any(np.shares_memory(tensor, leaf) for leaf in leaves)
    assert list(tensors)[:4] == ["common.weight", "common.bias", "encoded.weight", "encoded.bias"]
