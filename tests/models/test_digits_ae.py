"""digits_ae is listing 7.1: its size, its tensors, its outputs."""

import jax
import numpy as np
import pytest

import vae_jax
from vae_jax.parity.backends.pytorch import TorchReference

SHAPES = {
    "common.weight": (200, 784),
    "common.bias": (200,),
    "encoded.weight": (20, 200),
    "encoded.bias": (20,),
    "l1.weight": (200, 20),
    "l1.bias": (200,),
    "decode.weight": (784, 200),
    "decode.bias": (784,),
}


def test_it_has_the_references_parameters(torch_tensors, initial_variables):
    tensors, parameters = torch_tensors("digits_ae")
    exported = vae_jax.export_weights("digits_ae", initial_variables("digits_ae"))
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in tensors.items()}
    assert {k: v.shape for k, v in exported.items()} == SHAPES
    assert set(exported) == parameters
    assert sum(v.size for v in exported.values()) == 322_804
    assert initial_variables("digits_ae").keys() == {"params"}  # it keeps no statistics


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_outputs_are_pytorchs(dtype, tolerance):
    reference = TorchReference("digits_ae", dtype)
    image = np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(dtype)
    expected = reference.forward(image, None)
    with jax.enable_x64(True):
        variables = vae_jax.import_weights("digits_ae", reference.state_dict())
        decoded, latent = vae_jax.create_model("digits_ae").apply(variables, image)
    for actual, name in ((decoded, "image"), (latent, "latent")):
        assert actual.dtype == dtype
        error = np.abs(np.asarray(actual) - expected[name]).max()
        assert error < tolerance * np.abs(expected[name]).max()


def test_the_hidden_size_is_a_hyperparameter(random_tensors):
    small = {"hidden_size": 9, "latent_size": 3}
    tensors = random_tensors("digits_ae", **small)
    assert tensors["common.weight"].shape == (9, 784)
    assert tensors["l1.weight"].shape == (9, 3)
    variables = vae_jax.import_weights("digits_ae", tensors, **small)
    assert vae_jax.export_weights("digits_ae", variables, **small).keys() == SHAPES.keys()


def test_noise_does_not_reach_a_plain_autoencoder(initial_variables):
    model, x = vae_jax.create_model("digits_ae"), np.ones((2, 28, 28, 1), np.float32)
    variables = initial_variables("digits_ae")
    quiet, _ = model.apply(variables, x)
    noisy, _ = model.apply(variables, x, noise=np.ones((2, 20), np.float32))
    np.testing.assert_array_equal(quiet, noisy)
