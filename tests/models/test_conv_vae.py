"""conv_vae takes images of any size, and is the PyTorch original at each of them."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vae_jax
from vae_jax.convert.mapping import read_sizes
from vae_jax.distributions import Bernoulli, DiagonalGaussian, Gaussian, SquaredError
from vae_jax.errors import UserError
from vae_jax.models import init_variables, variable_shapes

MSE, BERNOULLI = {"likelihood": "mse"}, {"likelihood": "bernoulli"}
FIXED = {"likelihood": "gaussian", "scale": 0.3}
LEARNED = {"likelihood": "gaussian", "scale": 0.3, "learned_scale": True}


def model_of(**hyper):
    return vae_jax.create_model("conv_vae", **hyper)


@settings(max_examples=8, deadline=None)
@given(
    image_shape=st.tuples(st.integers(1, 11), st.integers(1, 11), st.integers(1, 4)),
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    batch_norm=st.booleans(),
)
def test_images_of_any_size_are_encoded_and_decoded_to_their_size(image_shape, widths, batch_norm):
    hyper = {"image_shape": image_shape, "widths": widths, "batch_norm": batch_norm}
    model = model_of(latent_size=3, **hyper)
    variables = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    image = jax.ShapeDtypeStruct((2, *image_shape), np.float32)

    def run(variables, image):
        posterior = model.apply(variables, image, method="encode")
        assert isinstance(posterior, DiagonalGaussian)
        return posterior, model.apply(variables, posterior.mean, method="decode")

    posterior, decoded = jax.eval_shape(run, variables, image)
    assert posterior.mean.shape == posterior.log_std.shape == (2, 3)
    assert decoded.shape == (2, *image_shape)
    # Each convolution halves the sides, rounding up, whatever they are.
    sides = [-(-side // 2 ** len(widths)) for side in image_shape[:2]]
    assert variables["params"]["fc_mu"]["kernel"].shape == (widths[-1] * math.prod(sides), 3)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("image_shape", "likelihood"),
    [((1, 1, 1), BERNOULLI), pytest.param((6, 3, 2), LEARNED, marks=pytest.mark.slow)],
    ids=["bernoulli", "learned gaussian"],
)
def test_its_likelihoods_are_pytorchs_in_outputs_losses_and_gradients(image_shape, likelihood):
    """With batch norms; parity checks the squared error, with them and without, and training."""
    from vae_jax.parity.check import check_model
    from vae_jax.parity.stages import Stage
    from vae_jax.parity.tables import table

    hyper = {"image_shape": image_shape, "widths": (2,), "latent_size": 3, "batch_norm": True}
    report = check_model("conv_vae", steps=0, seed=1, **hyper, **likelihood)
    assert report.passed, table(report)
    tensors = {row.tensor for row in report.rows if row.stage is Stage.GRADIENTS}
    assert ("log_scale" in tensors) == (likelihood is LEARNED)
    assert {"encoder.0.weight", "fc_logvar.bias", "decoder.3.bias"} <= tensors


@pytest.mark.parametrize(
    ("hyper", "expected"),
    [(MSE, SquaredError), (BERNOULLI, Bernoulli), (FIXED, Gaussian), (LEARNED, Gaussian)],
)
def test_what_the_decoder_says_is_the_likelihood_that_was_named(hyper, expected, drawn_variables):
    model = model_of(image_shape=(2, 2, 1), widths=(2,), latent_size=2, **hyper)
    variables = drawn_variables(model)
    variables["params"] |= {"log_scale": np.float32(math.log(0.3))} if hyper is LEARNED else {}
    said = jax.jit(lambda v, z: model.apply(v, z, method="image_likelihood"))(
        variables, np.ones((3, 2), np.float32)
    )
    assert isinstance(said, expected)
    assert said.mean.shape == (3, 2, 2, 1)
    if expected is Gaussian:
        np.testing.assert_allclose(said.log_std, math.log(0.3), rtol=1e-6)
        assert np.shape(said.log_std) == ()


def test_the_learned_scale_starts_at_the_scale_as_its_logarithm():
    scale = 0.05
    hyper = {"image_shape": (2, 2, 1), "widths": (2,), "latent_size": 2, **LEARNED, "scale": scale}
    model = model_of(**hyper)
    start = jax.jit(lambda key: init_variables(model, key)["params"]["log_scale"])  # it alone
    assert start(jax.random.key(0)).shape == ()
    assert start(jax.random.key(0)) == np.float32(math.log(scale))


@pytest.mark.parametrize("likelihood", ["mse", "bernoulli"])
def test_only_a_gaussian_has_a_scale_to_learn(likelihood):
    with pytest.raises(UserError, match=f"learned_scale.*not of {likelihood}") as caught:
        model_of(likelihood=likelihood, learned_scale=True)
    assert "add likelihood=gaussian" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "hyper",
    [
        {},
        {"widths": (5,), "latent_size": 1},
        {"widths": (3, 4, 6), "batch_norm": True},
        {"widths": (2, 2), "latent_size": 3, "batch_norm": True, **LEARNED},
        {"widths": (4, 8), "image_shape": (5, 6, 3), **LEARNED},
        {"widths": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), "image_shape": (1, 1, 1)},
    ],
    ids=str,
)
def test_a_checkpoint_tells_the_hyperparameters_it_was_made_with(hyper, random_tensors):
    tensors = random_tensors("conv_vae", **hyper)
    told = read_sizes("conv_vae", tensors)
    determined = {"widths", "latent_size", "batch_norm", "learned_scale"}
    if "learned_scale" in hyper:
        determined.add("likelihood")  # only a Gaussian has a scale
    assert told == {key: value for key, value in hyper.items() if key in determined}
    given = {key: value for key, value in hyper.items() if key not in determined}
    assert model_of(**told, **given) == model_of(**hyper)


def test_no_checkpoint_tells_the_size_of_the_images_so_that_it_must_be_named(random_tensors):
    undetermined = vae_jax.MODELS["conv_vae"].reference.undetermined
    assert undetermined({}) == ("image_shape", "likelihood")
    assert undetermined({"likelihood": "gaussian", "learned_scale": True})[2:] == ()
    assert undetermined({"likelihood": "gaussian"})[2:] == ("scale",)
    odd, even = ({"image_shape": (side, side, 1), "widths": (2, 3)} for side in (27, 28))
    tensors = random_tensors("conv_vae", **odd)
    variables = vae_jax.import_weights("conv_vae", tensors, **even)
    exported = vae_jax.export_weights("conv_vae", variables, **even)
    assert {k: v.tobytes() for k, v in exported.items()} == {
        k: v.tobytes() for k, v in tensors.items()
    }


@pytest.mark.torch
def test_its_layers_are_the_originals_with_parameters_in_order():
    from vae_jax.parity.originals.pytorch import ConvVAE

    hyper = {"image_shape": (5, 8, 3), "widths": (2, 3, 4), "batch_norm": True}
    places = [f"encoder.{p}" for p in (0, 1, 3, 4, 6, 7)]
    places += [f"decoder.{p}" for p in (0, 3, 4, 6, 7, 9)]
    original = ConvVAE(**hyper)
    shapes = {name: tuple(value.shape) for name, value in original.state_dict().items()}
    rules = vae_jax.MODELS["conv_vae"].rules(model_of(**hyper))
    weights = [r.source.removesuffix(".weight") for r in rules if r.source.endswith(".weight")]
    assert [place for place in weights if not place.startswith("fc_")] == places
    leaves = variable_shapes(model_of(**hyper))
    ours = {r.source: r.to_source(np.broadcast_to(np.int8(0), leaves[r.target])) for r in rules}
    assert {name: array.shape for name, array in ours.items()} == shapes
