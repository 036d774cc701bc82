"""``convert``, ``reconstruct`` and ``sample``: a trained model from whatever one points at."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import vae_jax
from vae_jax.training.checkpoint import load_run_variables, load_variables

from .feed import HYPER

SMALL = {"latent_size": 3, "hidden_size": 8}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@pytest.fixture(scope="session")
def tensors(trained):
    return vae_jax.export_weights("digits_ae", load_run_variables(trained / "checkpoints"), **SMALL)


@pytest.mark.torch
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_a_run_becomes_a_file_that_holds_its_tensors(succeed, trained, tensors, tmp_path, suffix):
    import torch

    target = tmp_path / f"meine Größe{suffix}"
    out = succeed("convert", trained, "--to", target).out
    assert "8 tensors" in out
    assert_same(vae_jax.read_checkpoint(target), tensors)
    if suffix != ".safetensors":
        loaded = torch.load(target, weights_only=True)
        assert_same({name: t.numpy() for name, t in loaded.items()}, tensors)


def test_a_run_becomes_a_folder_and_a_file_again_bit_for_bit(succeed, trained, tensors, tmp_path):
    folder, file = tmp_path / "ein Ordner", tmp_path / "zurück.safetensors"
    succeed("convert", trained, "--to", folder)
    assert load_variables(folder)[:2] == ("digits_ae", SMALL)
    succeed("convert", folder, "--to", file)
    assert_same(vae_jax.read_checkpoint(file), tensors)
    succeed("convert", file, *HYPER, "--to", tmp_path / "and back")
    assert_same(
        vae_jax.export_weights("digits_ae", load_variables(tmp_path / "and back")[2], **SMALL),
        tensors,
    )


def test_the_original_converts_to_what_reading_it_gives(succeed, digits_file, tmp_path):
    target = tmp_path / "AEdigits.safetensors"
    printed = json.loads(succeed("convert", digits_file, "--to", target, "--json").out)
    expected = vae_jax.read_checkpoint(digits_file)
    assert_same(vae_jax.read_checkpoint(target), expected)
    assert printed == {
        "model": "digits_ae",
        "tensors": 8,
        "numbers": sum(array.size for array in expected.values()),
        "to": str(target),
        "files": [str(target)],
        "remarks": [],
    }


@pytest.mark.torch
def test_a_file_with_several_sets_of_weights_needs_a_key(succeed, cli, digits_file, tmp_path):
    import torch

    file = tmp_path / "mehrere.pth"
    weights = {n: torch.tensor(a) for n, a in vae_jax.read_checkpoint(digits_file).items()}
    other = {name: tensor + 1 for name, tensor in weights.items()}
    torch.save({"best": {"net": weights}, "last": {"net": other}}, file)
    target = tmp_path / "one.safetensors"
    assert "--key" in cli("convert", file, "--to", target).error.replace("key=", "--key")
    assert not target.exists()
    succeed("convert", file, "--key", "best.net", "--to", target)
    assert_same(vae_jax.read_checkpoint(target), vae_jax.read_checkpoint(digits_file))


def test_hyperparameters_of_a_file_must_fit_it(cli, succeed, trained, tmp_path):
    file = tmp_path / "small.safetensors"
    succeed("convert", trained, "--to", file)
    target = tmp_path / "x.safetensors"
    error = cli("convert", file, "--hyper=hidden_size=200", "--to", target).error
    assert str(file) in error
    assert "(8, 784), expected (200, 784)" in error
    assert not target.exists()
    succeed("convert", file, *HYPER, "--model", "digits_ae", "--to", target)
    succeed("convert", file, "--to", tmp_path / "told by the file.safetensors")
    told = tmp_path / "told by the file.safetensors"
    assert_same(vae_jax.read_checkpoint(told), vae_jax.read_checkpoint(target))


def test_a_file_of_another_model_says_whose_it_is(cli, digits_file, tmp_path):
    outcome = cli("convert", digits_file, "--model=face_vae", "--to", tmp_path / "x.safetensors")
    assert outcome.status == 1
    assert "these are the weights of digits_ae, not of face_vae" in outcome.error
    assert str(digits_file) in outcome.error
    assert not (tmp_path / "x.safetensors").exists()


def test_a_folder_of_another_model_says_whose_it_is(cli, trained, tmp_path):
    error = cli("convert", trained, "--model=face_vae", "--to", tmp_path / "x.safetensors").error
    assert "holds digits_ae, not face_vae" in error


def test_tensors_of_no_model_are_listed_with_the_models(cli, tmp_path):
    file = tmp_path / "other.safetensors"
    vae_jax.write_checkpoint(file, {"backbone.weight": np.zeros((2, 2), np.float32)})
    error = cli("convert", file, "--to", tmp_path / "x.safetensors").error
    assert "backbone.weight" in error
    assert "digits_ae" in error


def test_an_existing_folder_is_not_converted_into(cli, trained, tmp_path, contents):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    before = contents(tmp_path / "mine")
    error = cli("convert", trained, "--to", tmp_path / "mine").error
    assert "exists already" in error
    assert contents(tmp_path / "mine") == before


def test_an_unknown_format_lists_the_known_ones(cli, trained, tmp_path):
    error = cli("convert", trained, "--to", tmp_path / "x.onnx").error
    assert ".onnx" in error
    assert ".safetensors" in error


def test_a_run_is_drawn_with_its_own_data(succeed, trained, tmp_path):
    target = tmp_path / "Bilder von heute.png"
    out = succeed("reconstruct", trained, "--count", "5", "--out", target).out
    assert out.startswith("5 images, squared error")
    with Image.open(target) as picture:
        picture.verify()


def test_the_error_that_is_printed_is_that_of_the_images(succeed, digits_file, tmp_path):
    image = tmp_path / "eine Ziffer.png"
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(image)
    out = succeed("reconstruct", digits_file, image, "--out", tmp_path / "x.png").out
    variables = vae_jax.import_weights("digits_ae", vae_jax.read_checkpoint(digits_file))
    x = (pixels.astype(np.float32) / np.float32(255)).reshape(1, 28, 28, 1)
    decoded, _ = vae_jax.create_model("digits_ae").apply(variables, x)
    expected = ((np.asarray(decoded) - x) ** 2).sum()
    assert out.startswith("1 images")
    assert float(out.split("error ")[1].split(" per image")[0]) == pytest.approx(expected, rel=1e-4)


def test_looking_at_a_run_changes_nothing_in_it(succeed, trained, tmp_path, contents):
    before = contents(trained)
    succeed("reconstruct", trained, "--out", tmp_path / "x.png")
    succeed("convert", trained, "--to", tmp_path / "x.safetensors")
    assert contents(trained) == before


def test_a_plain_autoencoder_has_no_prior_to_sample(cli, trained, digits_file, tmp_path):
    for model in (trained, digits_file):
        outcome = cli("sample", model, "--out", tmp_path / "x.png")
        assert outcome.status == 1
        assert "no prior to sample from" in outcome.error
        assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_run_is_an_error_that_names_it(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    for step in (run / "checkpoints").iterdir():
        shutil.rmtree(step / "default")
    outcome = cli("reconstruct", run, "--out", tmp_path / "x.png")
    assert str(run) in outcome.error
    assert "--debug" not in outcome.error  # a damaged file is no bug of the program


def test_a_run_without_a_checkpoint_is_an_error_that_names_it(cli, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    assert "holds no checkpoint" in cli("reconstruct", run, "--out", tmp_path / "x.png").error


def test_any_checkpoint_that_a_run_kept_can_be_named(succeed, cli, trained, tmp_path):
    first, last = sorted((trained / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for name, source in (("first", first), ("last", last), ("run", trained)):
        succeed("convert", source, "--to", tmp_path / f"{name}.safetensors")
    weights = {n: (tmp_path / f"{n}.safetensors").read_bytes() for n in ("first", "last", "run")}
    assert weights["last"] == weights["run"] != weights["first"]
    assert "does not exist" in cli("convert", trained / "checkpoints" / "99", "--to", "x.pth").error
