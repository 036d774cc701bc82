"""What a reader of the project tripped on, once."""

import json

import numpy as np
import pytest

import vae_jax
from vae_jax.training.checkpoint import load_variables


def small_file(path):
    rng = np.random.default_rng(0)
    sizes = {"common": (8, 784), "encoded": (3, 8), "l1": (8, 3), "decode": (784, 8)}
    tensors = {}
    for name, shape in sizes.items():
        tensors[f"{name}.weight"] = rng.standard_normal(shape).astype(np.float32) * 0.1
        tensors[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    vae_jax.write_checkpoint(path, tensors)
    return path


HYPER = ("--hyper=latent_size=3", "--hyper=hidden_size=8")


def test_a_file_of_other_sizes_needs_none_named_and_corrects_wrong_ones(cli, succeed, tmp_path):
    file = small_file(tmp_path / "small.safetensors")
    succeed("convert", file, "--to", tmp_path / "out")
    name, hyper, _ = load_variables(tmp_path / "out")
    assert (name, hyper) == ("digits_ae", {"latent_size": 3, "hidden_size": 8})
    for wrong in ("latent_size=4", "latent_size=20", "hidden_size=9"):
        outcome = cli("convert", file, "--to", tmp_path / "x", "--hyper", wrong)
        assert outcome.status == 1
        assert "give latent_size=3 hidden_size=8 (on the command line --hyper)" in outcome.error
        assert not (tmp_path / "x").exists()


def test_a_file_given_to_another_model_is_told_apart_by_its_names(cli, tmp_path):
    file = small_file(tmp_path / "small.safetensors")
    outcome = cli("convert", file, "--model=face_vae", "--to", tmp_path / "out")
    assert "these are the weights of digits_ae, not of face_vae" in outcome.err


def test_convert_does_not_replace_a_file_unless_forced(cli, succeed, tmp_path):
    file = small_file(tmp_path / "small.safetensors")
    before = file.read_bytes()
    outcome = cli("convert", file, "--to", file, *HYPER)
    assert outcome.status == 1
    assert "exists already" in outcome.err
    assert file.read_bytes() == before
    succeed("convert", file, "--to", file, "--force", *HYPER)
    assert vae_jax.read_checkpoint(file).keys()


def test_options_of_a_file_are_refused_for_a_folder(cli, succeed, tmp_path):
    file = small_file(tmp_path / "small.safetensors")
    succeed("convert", file, "--to", tmp_path / "flax", *HYPER)
    other = cli("convert", tmp_path / "flax", "--to", tmp_path / "x.pth", "--hyper=latent_size=7")
    assert other.status == 1
    assert "leave them out (--hyper)" in other.err
    keyed = cli("convert", tmp_path / "flax", "--to", tmp_path / "x.pth", "--key=ema")
    assert keyed.status == 1
    assert "(--key) chooses inside" in keyed.err


@pytest.mark.slow
def test_a_run_takes_the_sizes_of_its_starting_weights_and_records_them(
    cli, succeed, tmp_path, trained
):
    out = tmp_path / "run"
    source = json.loads((trained / "run.json").read_text())
    data = source["recipe"]["data"]
    succeed("train", "digits_ae", "--init", trained, "--data", data, "--epochs=1", "--out", out)
    run = json.loads((out / "run.json").read_text())
    assert run["hyper"] == source["hyper"] != {}
    assert run["init"] == str(trained)


@pytest.mark.slow
def test_parity_checks_a_run_and_a_file_of_other_sizes(succeed, tmp_path, trained):
    options = ("--precision=float32", "--steps=1", "--json")
    for source in ((trained,), (small_file(tmp_path / "small.safetensors"), *HYPER)):
        out = succeed("parity", "digits_ae", "--checkpoint", *source, *options).out
        assert json.loads(out)[0]["passed"]


def test_weights_that_are_not_numbers_are_not_drawn(cli, tmp_path):
    tensors = {
        k: v.copy()
        for k, v in vae_jax.read_checkpoint(small_file(tmp_path / "small.safetensors")).items()
    }
    tensors["l1.bias"][:] = np.nan
    vae_jax.write_checkpoint(tmp_path / "nan.safetensors", tensors)
    picture = tmp_path / "x.png"
    outcome = cli("reconstruct", tmp_path / "nan.safetensors", "--out", picture, *HYPER)
    assert outcome.status == 1
    assert "not finite" in outcome.err
    assert not picture.exists()
