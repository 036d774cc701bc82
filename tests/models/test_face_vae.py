"""face_vae is listings 7.4 and 7.5: its size, its tensors, its heads."""

import jax
import numpy as np
import pytest

import vae_jax
from vae_jax.convert.mapping import export_leaves, flat_leaves, rules_of
from vae_jax.distributions import DiagonalGaussian
from vae_jax.parity.backends.pytorch import TorchReference


@pytest.fixture(scope="module")
def exported(initial_variables):
    return vae_jax.export_weights("face_vae", initial_variables("face_vae"))


def test_it_has_the_references_tensors(exported, torch_tensors):
    tensors, _ = torch_tensors("face_vae")
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in tensors.items()}
    assert {k: v.dtype for k, v in exported.items()} == {k: v.dtype for k, v in tensors.items()}


def test_it_has_63_million_parameters_as_many_as_the_reference(exported, torch_tensors):
    tensors, parameters = torch_tensors("face_vae")
    count = sum(exported[name].size for name in parameters)
    assert count == sum(tensors[name].size for name in parameters) == 63_332_411


def test_its_heads_and_its_images_are_pytorchs():
    reference = TorchReference("face_vae", np.float32)
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(2, 256, 256, 3)).astype(np.float32)
    noise = rng.normal(size=(2, 100)).astype(np.float32)
    reference.trace(image, noise, train=True)  # statistics away from their start
    expected = reference.forward(image, noise)
    variables = vae_jax.import_weights("face_vae", reference.state_dict())
    model = vae_jax.create_model("face_vae")
    decoded, posterior = jax.jit(lambda v, x, e: model.apply(v, x, noise=e))(
        variables, image, noise
    )
    assert isinstance(posterior, DiagonalGaussian)
    actual = {"mean": posterior.mean, "std": posterior.std, "image": decoded}
    for name, value in actual.items():
        error = np.abs(np.asarray(value) - expected[name]).max()
        assert error < 1e-5 * np.abs(expected[name]).max(), name
    swapped = np.abs(np.log(expected["std"]) - expected["mean"]).max()
    assert swapped > 1e-2 * np.abs(expected["mean"]).max()  # a swap of the heads would be seen


def test_the_tensors_said_to_be_fed_by_noise_are_those_before_a_batch_norm():
    """A bias in front of a batch norm moves nothing but the running mean behind it."""
    before = {
        "encoder.conv2": "encoder.batch2",
        "decoder.decoder_conv.0": "decoder.decoder_conv.1",
        "decoder.decoder_conv.3": "decoder.decoder_conv.4",
    }
    expected = {f"{a}.bias" for a in before} | {f"{b}.running_mean" for b in before.values()}
    assert set(vae_jax.MODELS["face_vae"].reference.noise_fed(None)) == expected


def test_the_rules_carry_any_collection_of_leaves(initial_variables):
    statistics = {"batch_stats": initial_variables("face_vae")["batch_stats"]}
    tensors = export_leaves(rules_of("face_vae"), flat_leaves(statistics))
    assert {name.rpartition(".")[2] for name in tensors} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    assert len(tensors) == 9
