"""Hyperparameters come as values, lists, JSON or text, and leave in one form or are refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vae_jax
from vae_jax.errors import UserError
from vae_jax.models.hyper import format_hyperparameter, parse_hyperparameters
from vae_jax.recipe import Recipe
from vae_jax.training.checkpoint import load_variables, save_variables
from vae_jax.training.run import Run, create_run, open_run

SPEC = vae_jax.MODELS["conv_vae"]
SIZE = st.integers(1, 10_000)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "image_shape": st.tuples(SIZE, SIZE, SIZE),
        "widths": st.lists(SIZE, min_size=1, max_size=5).map(tuple),
        "latent_size": SIZE,
        "likelihood": st.sampled_from(["mse", "bernoulli", "gaussian"]),
        "scale": st.floats(1e-300, 1e300),
        "learned_scale": st.booleans(),
        "batch_norm": st.booleans(),
    },
)


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_what_is_in_its_one_form_stays_as_it_is(hyper):
    assert parse_hyperparameters(SPEC, hyper) == hyper
    assert parse_hyperparameters(SPEC, parse_hyperparameters(SPEC, hyper)) == hyper


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_json_gives_back_the_same_hyperparameters(hyper):
    again = parse_hyperparameters(SPEC, json.loads(json.dumps(hyper)))
    assert again == hyper
    assert [type(value) for value in again.values()] == [type(value) for value in hyper.values()]


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_text_as_the_command_line_takes_it_gives_back_the_same_hyperparameters(hyper):
    # Whole numbers are the one thing that the command line reads by itself.
    written = {k: v if type(v) is int else format_hyperparameter(v) for k, v in hyper.items()}
    assert parse_hyperparameters(SPEC, written) == hyper


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("widths", (32, 64), (32, 64)),
        ("widths", [32, 64], (32, 64)),
        ("widths", "32,64", (32, 64)),
        ("widths", " 32, 64 ", (32, 64)),
        ("widths", "32x64", (32, 64)),
        ("widths", np.array([32, 64]), (32, 64)),
        ("widths", 32, (32,)),
        ("widths", "32", (32,)),
        ("widths", np.int64(32), (32,)),
        ("image_shape", "64x48x3", (64, 48, 3)),
        ("image_shape", "64,48,3", (64, 48, 3)),
        ("image_shape", [64, 48, 3], (64, 48, 3)),
        ("latent_size", np.int32(7), 7),
        ("scale", 2, 2.0),
        ("scale", "0.5", 0.5),
        ("scale", "1e-3", 0.001),
        ("batch_norm", "true", True),
        ("batch_norm", "True", True),
        ("batch_norm", "false", False),
        ("batch_norm", 1, True),
        ("batch_norm", 0, False),
        ("likelihood", "bernoulli", "bernoulli"),
    ],
)
def test_sizes_numbers_and_switches_are_taken_in_any_form(name, value, expected):
    found = parse_hyperparameters(SPEC, {name: value})[name]
    assert found == expected
    assert type(found) is type(expected)
    hash(found)  # as a field of a Flax module must
    assert getattr(vae_jax.create_model("conv_vae", **{name: value}), name) == expected


WHOLE, SWITCH = "a whole number above 0", "true or false"
WIDTHS, SHAPE = "whole numbers above 0 with commas between", "3 whole numbers above 0"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *[("latent_size", value, WHOLE) for value in (0, -1, 2.0, True, None, "7", "", [7], 1e30)],
        *[("widths", value, WIDTHS) for value in ((), "", "3,", "a,b", 0, (3, 0), (3, 2.5), None)],
        *[("widths", value, WIDTHS) for value in ((True,), "3;4", 2.5, [[3]], {}, {"3": 4})],
        *[("image_shape", value, SHAPE) for value in (28, (28, 28), "28x28", (28, 28, 1, 1))],
        *[("image_shape", value, SHAPE) for value in ((28, 28, 0), "28x-28x1", "x", (1, 1, "1"))],
        *[("scale", value, "a number above 0") for value in (0, -1.0, "wide", True, None, [1.0])],
        *[("scale", value, "a number above 0") for value in (float("inf"), "nan", 10**400)],
        *[("batch_norm", value, SWITCH) for value in (2, "yes", "", None, 1.0, [True])],
        *[("likelihood", v, "mse or bernoulli or gaussian") for v in ("l2", "", None, 3, ["mse"])],
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_says_it_all(name, value, expected):
    with pytest.raises(UserError) as caught:
        parse_hyperparameters(SPEC, {name: value})
    default = format_hyperparameter(SPEC.hyperparameters()[name])
    message = f"conv_vae's {name} is {value!r}; expected {expected}, such as its default {default}"
    assert str(caught.value) == message
    assert "\n" not in message


def test_a_hyperparameter_that_a_model_lacks_is_answered_with_those_it_has():
    for name, spec in vae_jax.MODELS.items():
        with pytest.raises(UserError) as caught:
            parse_hyperparameters(spec, {"depth": 3})
        message = str(caught.value)
        assert message.startswith(f"{name} has no hyperparameter 'depth'; expected one of ")
        assert all(known in message for known in spec.hyperparameters())
        assert "\n" not in message


@pytest.mark.parametrize("name", vae_jax.MODELS)
def test_every_models_defaults_are_in_their_one_form(name):
    spec = vae_jax.MODELS[name]
    defaults = spec.hyperparameters()
    assert parse_hyperparameters(spec, defaults) == defaults
    assert vae_jax.create_model(name, **defaults) == vae_jax.create_model(name)


def test_they_are_the_sizes_of_the_tensors(random_tensors):
    tensors = random_tensors("digits_ae", hidden_size=9, latent_size=3)
    assert tensors["common.weight"].shape == (9, 784)
    assert tensors["l1.weight"].shape == (9, 3)


SMALL = {"image_shape": (3, 2, 1), "widths": (2,), "likelihood": "gaussian", "scale": 0.1}


def test_a_run_folder_keeps_them(tmp_path):
    recipe = Recipe(data="digits", epochs=1, batch_size=2, learning_rate=1e-3)
    run = Run(tmp_path / "run", "conv_vae", SMALL, recipe)
    create_run(run, {})
    assert json.loads((run.path / "run.json").read_text())["hyper"]["widths"] == [2]
    assert open_run(run.path) == run


def test_a_flax_checkpoint_keeps_them(tmp_path, random_tensors):
    variables = vae_jax.import_weights("conv_vae", random_tensors("conv_vae", **SMALL), **SMALL)
    save_variables(tmp_path / "model", "conv_vae", SMALL, variables)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["hyper"]["widths"] == [2]
    name, hyper, _ = load_variables(tmp_path / "model")
    assert (name, hyper) == ("conv_vae", SMALL)
