"""What the user got wrong is one line and an exit status; a traceback comes only when asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TAKES_A_MODEL = [["reconstruct"], ["sample"], ["convert", "--to", "x.safetensors"]]


@pytest.mark.parametrize("command", TAKES_A_MODEL, ids=lambda command: command[0])
def test_a_path_that_is_not_there_is_named(cli, command, tmp_path):
    missing = tmp_path / "nicht da" / "Gewichte.pt"
    outcome = cli(command[0], missing, *command[1:])
    assert outcome.status == 1
    assert f"{missing} does not exist" in outcome.error


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "digits_ae", "--out", "gs://bucket/run"],
        ["train", "digits_ae", "--init=s3://bucket/a.pth"],
        ["train", "digits_ae", "--data", "folder:hdfs://host/faces"],
        ["reconstruct", "https://host/a.pth"],
        ["convert", "FILE", "--to", "gs://bucket/a.safetensors"],
        ["arithmetic", "FILE", "--group", "a=https://host/a.png", "a"],
    ],
)
def test_an_address_is_refused_before_anything_is_done(cli, digits_file, arguments):
    outcome = cli(*[digits_file if a == "FILE" else a for a in arguments])
    assert "is an address, expected a path on this machine" in outcome.error
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("command", TAKES_A_MODEL, ids=lambda command: command[0])
def test_a_folder_that_holds_no_model_is_named(cli, command, tmp_path):
    outcome = cli(command[0], tmp_path, *command[1:])
    assert outcome.status == 1
    assert "run.json" in outcome.error
    assert "model.json" in outcome.error


@pytest.mark.parametrize("command", TAKES_A_MODEL, ids=lambda command: command[0])
def test_a_file_that_holds_no_weights_is_named(cli, command, tmp_path):
    path = tmp_path / "photo.pt"
    path.write_bytes(b"\xff\xd8\xff\xe0 not a checkpoint")
    outcome = cli(command[0], path, *command[1:])
    assert outcome.status == 1
    assert str(path) in outcome.error


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "vqgan"],
        ["parity", "vqgan"],
        ["convert", "FILE", "--model", "vqgan", "--to", "x.safetensors"],
        ["reconstruct", "FILE", "--model", "vqgan"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_unknown_model_is_answered_with_the_models(cli, digits_file, arguments):
    outcome = cli(*[digits_file if a == "FILE" else a for a in arguments])
    assert outcome.status != 0
    for name in ("vqgan", "digits_ae", "face_vae"):
        assert name in outcome.error


@pytest.mark.parametrize(
    "arguments",
    [
        ["paint"],
        ["--loud"],
        ["train"],
        ["train", "digits_ae", "--momentum", "1"],
        ["train", "digits_ae", "--epochs", "many"],
        ["train", "digits_ae", "--reduction", "median"],
        ["train", "digits_ae", "--checkpoint-every", "0"],
        ["train", "digits_ae", "--hyper", "latent_size"],
        ["train", "digits_ae", "extra"],
        ["convert", "somewhere"],
        ["sample", "somewhere", "--count", "0"],
        ["parity", "digits_ae", "--steps", "-1"],
        ["parity", "digits_ae", "--precision", "float16"],
        ["models", "--yaml"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_has_the_status_2_and_points_to_the_help(cli, arguments):
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert "--help" in outcome.error
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("batch_size", "0"),
        ("batch_size", "-3"),
        ("epochs", "-1"),
        ("learning_rate", "nan"),
        ("learning_rate", "inf"),
        ("learning_rate", "0"),
        ("learning_rate", "-1"),
        ("beta1", "1"),
        ("beta2", "1.5"),
        ("epsilon", "0"),
        ("weight_decay", "-1"),
        ("beta", "nan"),
        ("seed", "-1"),
        ("seed", "4294967296"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_by_the_name_of_its_field(
    cli, data, tmp_path, option, value
):
    flag = f"--{option.replace('_', '-')}={value}"
    outcome = cli("train", "digits_ae", "--data", data, "--out", tmp_path / "run", flag)
    assert outcome.status == 1
    assert f"{option} is " in outcome.error
    assert "expected" in outcome.error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("hyper", "told"),
    [
        ("width=3", "latent_size"),
        ("latent_size=0", "latent_size"),
        ("latent_size=-1", "latent_size"),
        ("latent_size=many", "many"),
        ("latent_size=2.5", "2.5"),
        ("latent_size=", "latent_size"),
    ],
)
def test_a_hyperparameter_that_cannot_be_is_refused(cli, data, tmp_path, hyper, told):
    outcome = cli(
        *("train", "digits_ae", "--data", data, "--out", tmp_path / "run", "--hyper", hyper)
    )
    assert outcome.status == 1
    assert told in outcome.error
    assert not (tmp_path / "run").exists()


def test_a_demo_does_not_touch_a_folder_that_is_not_its_own(cli, tmp_path, contents):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    before = contents(tmp_path)
    outcome = cli("demo", "--out", tmp_path / "mine")
    assert outcome.status == 1
    assert "not a demo's folder" in outcome.error
    assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("place", ["first", "last"])
def test_debug_shows_the_traceback_wherever_it_stands(place):
    arguments = ["reconstruct", "nowhere.pt"]
    arguments = ["--debug", *arguments] if place == "first" else [*arguments, "--debug"]
    done = subprocess.run(
        [sys.executable, "-m", "vae_jax", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "nowhere.pt does not exist" in done.stderr


def test_without_debug_there_is_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "vae_jax", "reconstruct", "nowhere.pt"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: nowhere.pt does not exist")
    assert done.stderr.count("\n") == 1


def test_a_bug_is_one_line_too_and_says_how_to_see_more(cli, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr("vae_jax.pretrained.load", broken)
    outcome = cli("reconstruct", "somewhere")
    assert outcome.status == 1
    assert "ZeroDivisionError: first line second line" in outcome.error
    assert "--debug" in outcome.error


def test_an_interrupt_ends_quietly_with_its_usual_status(cli, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("vae_jax.pretrained.load", interrupted)
    outcome = cli("reconstruct", "somewhere")
    assert outcome.status == 130
    assert outcome.err.strip() == "error: stopped"


def test_a_mistyped_name_is_answered_with_what_was_meant(cli):
    told = "there is no command 'trian'; did you mean train? (see vae-jax --help)"
    assert cli("trian").error == f"error: {told}"
    assert "expected one of models, train, " in cli("unheard-of").error
    assert "there is no model 'convvae'; did you mean conv_vae?" in cli("train", "convvae").error


@pytest.mark.parametrize("command", ["train", "reconstruct"])
def test_a_missing_device_is_one_line_that_blames_no_file(command, digits_file, tmp_path):
    what = "digits_ae" if command == "train" else str(digits_file)
    words = [sys.executable, "-m", "vae_jax", command, what, "--out", str(tmp_path / "out.png")]
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "no_such_device"}
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: there is no device for JAX_PLATFORMS=no_such_device (")
    assert str(digits_file) not in done.stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (["--batch-size=0"], "batch_size is 0"),
        (["--hyper=width=3"], "width"),
        (["--fresh-optimizer"], "--fresh-optimizer needs --init"),
        (["--init=nowhere.pt"], "nowhere.pt does not exist"),
        (["--data=folder:nowhere"], "there is no folder"),
        (["--images=99999"], "has no training image 99999"),
        ([], "already holds a run"),
    ],
)
def test_every_mistake_is_told_before_the_run_that_is_already_there(cli, trained, mistake, told):
    assert told in cli("train", "digits_ae", "--out", trained, *mistake).error
