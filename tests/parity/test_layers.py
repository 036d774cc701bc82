"""Layers under both names, and their activations in one layout."""

import weakref

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.convert.mapping import rules_of
from vae_jax.models import MODELS
from vae_jax.parity.backends import create_reference
from vae_jax.parity.backends.flax import Port
from vae_jax.parity.layers import INPUT, Layer, captured, layer_of, layers_of, zero_gradient_tensors
from vae_jax.parity.probes import probe_of

FACE, CONV, MAP = (32, 31, 31), (64, 7, 7), (32, 7, 7)
# (flat input, flat output, unit axes); every other layer has none
SHAPED = {
    "digits_ae": {},
    "stddev_vae": {},
    "face_vae": {
        "encoder.linear1": (FACE, None, 0),
        "decoder.decoder_lin.2": (None, FACE, 0),
    },
    "conv_vae": {
        "fc_mu": (CONV, None, 0),
        "fc_logvar": (CONV, None, 0),
        "decoder.0": (None, CONV, 0),
    },
    "digits_vae": {
        "encoder.conv_mean": (CONV, None, 2),
        "encoder.conv_logvar": (CONV, None, 2),
        "decoder.conv1": (None, MAP, 2),
    },
}
SHAPED["digits_cvae"] = SHAPED["digits_vae"] | {"encoder.conv_label": (None, None, 2)}


@pytest.mark.parametrize("name", MODELS)
def test_every_rule_is_of_a_layer_whose_layout_is_known(name):
    rules = rules_of(name)
    layers = layers_of(rules)
    for rule in rules:
        assert layers[rule.target[1:-1]].name == layer_of(rule.source)
    assert {layer.name for layer in layers.values()} == {layer_of(r.source) for r in rules}
    shaped = {layer.name: tuple(layer[1:4]) for layer in layers.values() if any(layer[1:4])}
    assert shaped == SHAPED[name]


def test_convolutions_and_batch_norms_are_of_images_and_dense_layers_are_not():
    layers = {layer.name: layer.of_images for layer in layers_of(rules_of("face_vae")).values()}
    assert {name for name, images in layers.items() if not images} == {
        "encoder.linear1",
        "encoder.linear2",
        "encoder.linear3",
        "decoder.decoder_lin.0",
        "decoder.decoder_lin.2",
    }


def test_a_parameter_of_the_model_itself_is_of_no_layer():
    rules = rules_of("conv_vae", likelihood="gaussian", learned_scale=True)
    assert any(rule.source == "log_scale" for rule in rules)
    assert layers_of(rules) == layers_of(rules_of("conv_vae"))


def test_a_tensors_layer_is_its_name_up_to_the_last_separator():
    assert layer_of("encoder.conv1.weight") == "encoder.conv1"
    assert layer_of("recognition/d_h1/w") == "recognition/d_h1"
    assert layer_of("log_scale") == ""


@pytest.mark.parametrize("name", [name for name in MODELS if name != "face_vae"])
def test_without_batch_norms_there_are_no_zero_gradient_tensors(name):
    assert zero_gradient_tensors(rules_of(name)) == ()


def test_zero_gradient_tensors_are_biases_before_batch_norms_and_the_means_behind_them():
    assert zero_gradient_tensors(rules_of("face_vae")) == (
        *("encoder.conv2.bias", "encoder.batch2.running_mean"),
        *("decoder.decoder_conv.0.bias", "decoder.decoder_conv.1.running_mean"),
        *("decoder.decoder_conv.3.bias", "decoder.decoder_conv.4.running_mean"),
    )


@pytest.mark.torch
@pytest.mark.parametrize("widths", [(2,), (2, 3), (2, 3, 4)])
def test_zero_gradients_are_noise_and_no_others_are(widths):
    hyper = {"image_shape": (6, 5, 2), "widths": widths, "latent_size": 2, "batch_norm": True}
    named = zero_gradient_tensors(rules_of("conv_vae", **hyper))
    assert len(named) == 2 * (2 * len(widths) - 1)  # no norm follows the decoder's last layer
    reference = create_reference("conv_vae", np.float64, **hyper)
    rng = np.random.default_rng(0)
    _, gradients = reference.backward(rng.uniform(size=(8, 6, 5, 2)), rng.normal(size=(8, 2)))
    noise = {name for name, value in gradients.items() if np.abs(value).max() < 1e-12}
    assert noise == {name for name in named if name.endswith(".bias")}
    for bias, mean in zip(named[::2], named[1::2], strict=True):
        part, number = layer_of(bias).rsplit(".", 1)
        assert mean == f"{part}.{int(number) + 1}.running_mean"


class _Two(nn.Module):
    def setup(self):
        self.first = nn.Dense(3)
        self.last = nn.Dense(2)

    def __call__(self, x):
        return self.first(nn.relu(self.last(x)))


def test_submodules_are_captured_in_the_order_of_their_calls_with_what_goes_in_and_out():
    model, x = _Two(), np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    variables = model.init(jax.random.key(0), x)
    with captured([("first",), ("last",)]) as found:
        y = model.apply(variables, x)
    assert list(found) == [("last",), ("first",)]
    np.testing.assert_array_equal(found["last",][0], x)
    np.testing.assert_array_equal(found["first",][0], jnp.maximum(found["last",][1], 0))
    np.testing.assert_array_equal(found["first",][1], y)


def test_nothing_else_is_captured():
    model, x = _Two(), np.ones((2, 5), np.float32)
    variables = model.init(jax.random.key(0), x)
    with captured([("last",), ("elsewhere",)]) as found:
        pass
    model.apply(variables, x)
    assert found == {}
    with captured([("last",), ("elsewhere",)]) as found:
        model.apply(variables, x)
    assert list(found) == [("last",)]


def test_activations_get_the_references_layout():
    image = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    flat = image.reshape(2, -1)
    first = image.transpose(0, 3, 1, 2)
    conv = Layer("a", of_images=True)
    assert np.array_equal(conv.as_reference("input", image, True), first)
    assert np.array_equal(conv.as_reference("input", image, False), image)
    assert np.array_equal(Layer("a").as_reference("input", image, True), image)  # a dense layer's
    dense = Layer("a", flat_input=(5, 3, 4), unit_axes=2)
    unflattened = first.reshape(2, -1)[:, :, None, None]
    assert np.array_equal(dense.as_reference("input", flat, True), unflattened)
    assert np.array_equal(dense.as_reference("output", flat, True), flat[:, :, None, None])
    dense = Layer("a", flat_output=(5, 3, 4))
    assert np.array_equal(dense.as_reference("output", flat, True), first.reshape(2, -1))
    assert np.array_equal(dense.as_reference("input", flat, True), flat)


@pytest.mark.torch
@pytest.mark.parametrize("train", [False, True])
def test_a_port_and_its_original_trace_the_same_layers_in_the_same_layout(train):
    hyper = {"image_shape": (20, 12, 3), "widths": (4, 6), "latent_size": 3, "batch_norm": True}
    original = create_reference("conv_vae", np.float64, **hyper)
    port = Port("conv_vae", np.float64, original.state_dict(), **hyper)
    probe = probe_of("conv_vae", 3, 0, 0, **hyper)
    expected, outputs = original.trace(*probe, train=train)
    found, own = port.trace(*probe, train=train)
    assert list(found) == list(expected)
    assert [n + INPUT for n in expected if not n.endswith(INPUT)] == list(expected)[::2]
    assert own.keys() == outputs.keys() == (set() if train else {"mean", "std", "image"})
    for name, value in (expected | outputs).items():
        assert (found | own)[name].shape == value.shape, name
        np.testing.assert_allclose((found | own)[name], value, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.torch
def test_a_port_that_is_let_go_frees_its_arrays_at_once():
    hyper = {"hidden_size": 4, "latent_size": 2}
    original = create_reference("digits_ae", np.float64, **hyper)
    port = Port("digits_ae", np.float64, original.state_dict(), **hyper)
    port.trace(*probe_of("digits_ae", 2, 0, 0, **hyper))
    kept = weakref.ref(port)
    del port
    assert kept() is None
