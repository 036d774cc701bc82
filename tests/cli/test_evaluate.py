"""``evaluate``: the table, the JSON, and what it refuses."""

import json

import jax
import numpy as np
import pytest

import vae_jax
from vae_jax.convert.parts import split_parts
from vae_jax.models import create_model, init_variables
from vae_jax.training.checkpoint import save_variables

from .feed import HYPER

BERNOULLI = {"latent_size": 3, "widths": (2, 2), "likelihood": "bernoulli"}


def random_weights(name, **hyper):
    model, random = create_model(name, **hyper), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    return jax.tree.map(lambda a: 0.3 * random.standard_normal(a.shape, np.float32), shapes)


@pytest.fixture(scope="module")
def likelihood_model(tmp_path_factory):
    """A Flax checkpoint folder of an untrained model with a likelihood."""
    folder = tmp_path_factory.mktemp("models") / "conv_vae"
    variables = random_weights("conv_vae", **BERNOULLI)
    save_variables(folder, "conv_vae", BERNOULLI, variables)
    return folder


def test_a_run_is_measured_on_the_test_images_of_its_own_data(succeed, trained, data):
    found = json.loads(succeed("evaluate", trained, "--json").out)
    assert (found["model"], found["num_images"], found["split"]) == ("digits_ae", 10, "test")
    assert found["data"] == data
    assert found["unit"] == "squared error"
    assert found["recipe_rule"] == "sum over a batch of 8, mean over the batches"
    total = 10 * found["terms"]["reconstruction"]["mean"]
    assert found["recipe_terms"]["reconstruction"] == pytest.approx(total / 2)
    assert found["elbo"] is found["active_units"] is None


def test_several_folders_are_measured_one_after_the_other(succeed, cli, trained, data):
    found = json.loads(succeed("evaluate", trained, "--json").out)
    both = json.loads(succeed("evaluate", trained, trained, "--json").out)
    assert both == [{"trained": str(trained)} | found] * 2
    lines = succeed("evaluate", trained, trained).out.splitlines()
    assert lines[0] == f"{trained}: digits_ae on 10 test images of {data}, seed 0"
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
    assert "does not exist" in cli("evaluate", trained, trained / "nothing").error


@pytest.mark.slow
def test_the_table_has_the_bounds_that_were_asked_for(succeed, likelihood_model, data):
    arguments = ("evaluate", likelihood_model, "--data", data, "--samples=2", "--samples=1")
    arguments += ("--binarize=sample", "--count=6", "--chunk=1", "--batch-size=6", "--seed=3")
    lines = succeed(*arguments).out.splitlines()
    assert lines[0].startswith("conv_vae on 6 test images of idx:")
    begins = [line[:24].strip() for line in lines[3:]]
    assert begins[:5] == [
        "reconstruction (nats)",
        "kl divergence (nats)",
        "ELBO (nats)",
        "bound of 1 draw (nats)",
        "bound of 2 draws (nats)",
    ]
    assert "of 3" in next(line for line in lines if line.startswith("active units"))
    found = json.loads(succeed(*arguments, "--json").out)
    assert f"{found['bounds']['2']['mean']:.4f}" in lines[7]
    assert f"{found['bounds']['2']['monte_carlo_error']:.4f}" in lines[7]
    assert found["bounds"]["1"]["monte_carlo_error"] is None
    assert succeed(*arguments).out.splitlines() == lines  # the seed says it all


@pytest.mark.slow
def test_an_encoder_and_a_decoder_are_two_files(succeed, data, tmp_path):
    variables = random_weights("digits_cvae", channels=2)
    tensors = vae_jax.export_weights("digits_cvae", variables, channels=2)
    files = [tmp_path / "first.safetensors", tmp_path / "second.safetensors"]
    for file, part in zip(files, split_parts(tensors).values(), strict=True):
        vae_jax.write_checkpoint(file, part)
    options = ("--data", data, "--json")
    found = json.loads(succeed("evaluate", *files, *options).out)
    assert found["model"] == "digits_cvae"
    assert set(found["terms"]) == {"reconstruction", "kl_divergence"}


def test_a_bound_of_a_squared_error_is_refused_in_one_line(cli, trained):
    outcome = cli("evaluate", trained, "--samples", 5)
    assert outcome.status == 1
    assert "no likelihood bound" in outcome.error
    assert "likelihood=bernoulli" in outcome.error


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["TRAINED", "--samples", "0"],
        ["TRAINED", "--chunk", "0"],
        ["TRAINED", "--count", "0"],
        ["TRAINED", "--binarize", "maybe"],
        ["TRAINED", *HYPER[:2], "--hyper", "hidden_size=9"],
        ["TRAINED", "--data", "nowhere"],
        ["not there"],
    ],
    ids=" ".join,
)
def test_what_it_cannot_use_is_one_line(cli, trained, arguments):
    assert cli("evaluate", *[trained if a == "TRAINED" else a for a in arguments]).error
