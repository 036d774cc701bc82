"""``vae-jax train``: the recipe from options, the run folder, and its continuation."""

import dataclasses
import json
import shutil
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from vae_jax.cli.devices import join_devices
from vae_jax.models import MODELS
from vae_jax.recipe import Recipe
from vae_jax.training.checkpoint import load_run_variables
from vae_jax.training.run import open_run

from .feed import HYPER, write_idx


def short(data, out, *more):
    recipe = ["--data", data, "--epochs", "1", "--batch-size", "8"]
    return ["train", "digits_ae", *recipe, *HYPER, "--out", str(out), *more]


def bits(tree):
    return [(a.dtype.name, a.shape, a.tobytes()) for a in map(np.asarray, jax.tree.leaves(tree))]


def test_a_run_folder_holds_all_that_was_promised(trained, data):
    names = {path.name for path in trained.iterdir()}
    assert names == {"run.json", "metrics.jsonl", "checkpoints", "figures", ".lock"}
    run = open_run(trained)
    assert run.hyper == {"latent_size": 3, "hidden_size": 8}
    assert run.recipe == MODELS["digits_ae"].recipe.replace(data=data, epochs=2, batch_size=8)
    figures = sorted(path.name for path in run.figures.iterdir())
    assert figures == ["epoch_000.png", "epoch_001.png", "epoch_002.png"]
    for name in figures:
        with Image.open(run.figures / name) as picture:
            picture.verify()


def test_the_figures_as_json_are_those_of_the_run_folder(succeed, data, tmp_path):
    outcome = succeed(*short(data, tmp_path / "run", "--json"))
    printed = json.loads(outcome.out)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert printed["run"] == str(tmp_path / "run")
    assert printed["epochs"] == [json.loads(line) for line in lines]
    assert "epoch 1: loss" in outcome.err


OTHER = {
    "epochs": "0",
    "batch_size": "5",
    "learning_rate": "0.5",
    "beta1": "0.25",
    "beta2": "0.25",
    "epsilon": "0.25",
    "epsilon_scaling": "tensorflow",
    "weight_decay": "0.25",
    "beta": "2.5",
    "beta_warmup": "7",
    "noise": "0.75",
    "corrupt": "salt-pepper:0.25",
    "images": "9,8,7,6,5",
    "skip_unreadable": False,
    "reduction": "mean",
    "epoch_loss": "sum",
    "drop_remainder": True,
    "batch_norm_groups": "3",
    "clip_norm": "0.5",
    "seed": "11",
}


def test_every_field_of_the_recipe_is_an_option(succeed, data, tmp_path):
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert fields == OTHER.keys() | {"data"}
    options = [f"--data={data}"]
    for name, value in OTHER.items():
        flag = "--" + name.replace("_", "-")
        options += [] if value is False else [flag if value is True else f"{flag}={value}"]
    succeed("train", "digits_ae", *HYPER, *options, "--out", tmp_path / "run")
    recipe = dataclasses.asdict(open_run(tmp_path / "run").recipe)
    assert {name: str(recipe[name]) for name in OTHER} == {k: str(v) for k, v in OTHER.items()}


def test_a_resumed_run_needs_no_option_repeated_and_takes_more_epochs(
    succeed, trained, data, tmp_path
):
    run = tmp_path / "run"
    succeed(*short(data, run))
    succeed("train", "digits_ae", "--out", run, "--resume", "--epochs", "2")
    assert open_run(run).recipe == open_run(trained).recipe
    ours, theirs = (load_run_variables(path / "checkpoints") for path in (run, trained))
    assert bits(ours) == bits(theirs)


def test_a_run_of_a_relative_path_is_used_from_any_folder(succeed, data, tmp_path, monkeypatch):
    place = tmp_path / "project" / "mnist"
    shutil.copytree(data.removeprefix("idx:"), place)
    monkeypatch.chdir(place.parent)
    succeed(*short("idx:mnist", "run"))
    run = place.parent / "run"
    stored = json.loads((run / "run.json").read_text())
    assert stored["recipe"]["data"] == stored["data"]["source"] == "idx:mnist"
    assert stored["data"]["absolute_source"] == f"idx:{place}"
    monkeypatch.chdir(tmp_path)
    succeed("reconstruct", run)
    succeed("train", "digits_ae", "--out", run, "--resume", "--epochs", "2")
    place.parent.rename(tmp_path / "moved")  # both together, and used from where they are
    monkeypatch.chdir(tmp_path / "moved")
    succeed("reconstruct", "run")


@pytest.mark.slow
def test_a_run_starts_from_given_weights(succeed, trained, data, tmp_path):
    out = tmp_path / "run"
    succeed("convert", trained, "--to", tmp_path / "weights.safetensors")
    for kind, start in (("run", trained), ("file", tmp_path / "weights.safetensors")):
        out = tmp_path / f"from {kind}"
        succeed(*short(data, out, "--init", str(start), "--learning-rate=1e-12"))
        ours, theirs = (load_run_variables(path / "checkpoints") for path in (out, trained))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), ours, theirs)


def test_another_recipe_is_not_resumed_and_nothing_changes(cli, trained, contents):
    before = contents(trained)
    error = cli(
        "train", "digits_ae", "--out", trained, "--resume", "--seed=4", "--batch-size=4"
    ).error
    assert "seed was 0, now 4" in error
    assert "batch_size was 8, now 4" in error
    assert contents(trained) == before


def test_another_model_is_not_resumed(cli, trained, contents):
    before = contents(trained)
    error = cli("train", "face_vae", "--out", trained, "--resume").error
    assert "digits_ae" in error
    assert "face_vae" in error
    assert contents(trained) == before


def test_other_hyperparameters_are_not_resumed(cli, trained):
    error = cli("train", "digits_ae", "--out", trained, "--resume", "--hyper=latent_size=4").error
    assert "hyper was" in error


@pytest.mark.slow
def test_changed_images_are_not_resumed_on(cli, succeed, tmp_path):
    data = write_idx(tmp_path / "data")
    succeed(*short(f"idx:{data}", tmp_path / "run"))
    write_idx(tmp_path / "data", seed=5)
    error = cli("train", "digits_ae", "--out", tmp_path / "run", "--resume", "--epochs=2").error
    assert "fingerprint was" in error


def test_there_must_be_a_run_to_resume(cli, data, tmp_path):
    error = cli(*short(data, tmp_path / "nothing here", "--resume")).error
    assert str(tmp_path / "nothing here") in error
    assert not (tmp_path / "nothing here").exists()


def test_a_resumed_run_takes_no_other_weights(cli, trained, digits_file):
    error = cli("train", "digits_ae", "--out", trained, "--resume", "--init", digits_file).error
    assert "--init" in error


def test_a_second_run_into_the_same_folder_is_refused_and_changes_nothing(
    cli, trained, data, contents
):
    before = contents(trained)
    error = cli(*short(data, trained)).error
    assert "--resume" in error
    assert "--out" in error
    assert contents(trained) == before


@pytest.mark.slow
def test_a_loss_that_is_no_longer_finite_ends_the_command(cli, data, tmp_path):
    outcome = cli(*short(data, tmp_path / "run", "--learning-rate=1e30"))
    assert outcome.status == 1
    start, error = outcome.err.splitlines()
    assert start.startswith("22 images, 10 held out; ")
    assert error.startswith("error: step 2 (batch 2 of epoch 1) is not finite: reconstruction is")
    assert "--learning-rate" in error


def test_data_that_is_not_there_leaves_no_run_folder(cli, tmp_path):
    error = cli(*short(f"idx:{tmp_path / 'no data'}", tmp_path / "run")).error
    assert "no data" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_face_vae_trains_on_pictures_and_is_sampled_from(succeed, tmp_path):
    """The one test here that has the large model: 63 million parameters, 3 pictures."""
    random = np.random.default_rng(0)
    for name in ("mit Brille/eins", "mit Brille/zwei", "ohne/drei"):
        path = tmp_path / "Gesichter" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(path)
    run = tmp_path / "Lauf mit Brille"
    recipe = ["--data", f"folder:{tmp_path / 'Gesichter'}", "--epochs=1", "--batch-size=2"]
    try:
        printed = json.loads(succeed("train", "face_vae", *recipe, "--out", run, "--json").out)
        (record,) = printed["epochs"]
        assert record["step"] == 2
        assert record["reconstruction"] > 0
        assert record["kl_divergence"] > 0
        total = record["reconstruction"] + record["kl_divergence"]
        assert record["loss"] == pytest.approx(total, rel=1e-6)
        # A sum over batches, images, pixels and channels: random pictures are about 1/12 off.
        assert 0.5 < record["reconstruction"] / (3 * 256 * 256 * 3 / 12) < 2
        succeed("sample", run, "--count=2", "--out", tmp_path / "two samples.png")
        with Image.open(tmp_path / "two samples.png") as picture:
            picture.verify()
    finally:
        shutil.rmtree(run, ignore_errors=True)  # 750 MB


@pytest.mark.slow
def test_devices_and_what_is_kept_are_options(succeed, data, tmp_path):
    kept = ["--checkpoint-every=1", "--keep=3", "--keep-best=1", "--checkpoint-minutes=5"]
    succeed(*short(data, tmp_path / "run"), "--parallel=pmap", "--devices=2", *kept)
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) >= 3


def test_several_devices_are_a_mesh_unless_told_otherwise():
    by_hand: Any = {"hosts": False, "coordinator": None, "num_processes": None, "process_id": None}
    for devices, axis, mode in ((4, 1, "sharded"), (None, 2, "sharded"), (None, 1, "jit")):
        assert join_devices(None, devices, axis, **by_hand).mode == mode


def test_hosts_that_are_not_there_are_an_error_of_one_line(cli, data, tmp_path):
    outcome = cli(*short(data, tmp_path / "run"), "--num-processes=2")
    assert outcome.status == 1
    assert "--coordinator, --num-processes and --process-id go together" in outcome.error
    assert not (tmp_path / "run").exists()


def test_transpose_turns_the_images_of_idx_and_the_run_keeps_it(succeed, cli, data, tmp_path):
    run = tmp_path / "run"
    succeed(*short(data, run, "--transpose"))
    assert open_run(run).recipe.data == data.replace("idx:", "emnist:")
    turned = json.loads(succeed("evaluate", run, "--json").out)
    again = json.loads(succeed("evaluate", run, "--data", data, "--transpose", "--json").out)
    stored = json.loads(succeed("evaluate", run, "--data", data, "--json").out)
    assert turned == again
    assert turned["terms"] != stored["terms"]
    assert (
        "--transpose turns the images of --data idx:DIR"
        in cli("evaluate", run, "--transpose").error
    )


def test_a_run_says_at_its_start_what_it_trains_on(succeed, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(5):
        Image.new("RGB", (40, 28)).save(tmp_path / "pictures" / f"{number}.png")
    Image.new("L", (28, 28)).save(tmp_path / "pictures" / "a.gif")
    run = tmp_path / "run"
    line, *_ = succeed(*short(f"folder:{tmp_path / 'pictures'}", run)).err.splitlines()
    assert line == (
        "5 of 6 pictures, 1 GIF left out; colour to grey, cropped; cpu; 1 step per epoch; "
        "loss in squared error, summed over a batch and averaged over an epoch"
    )


def test_the_start_line_counts_the_first_labels(succeed, data, tmp_path):
    line, *_ = succeed(*short(data, tmp_path / "run")).err.splitlines()
    assert line.startswith(
        "22 images, 10 held out; labels 0: 3, 1: 3, 2: 2, ...; cpu; 3 steps per epoch; loss in "
    )


def test_unreadable_pictures_stay_left_out_of_all_that_is_done_with_a_run(succeed, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(5):
        Image.new("L", (28, 28)).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "pictures" / "0.jpg").write_bytes(b"no picture")
    run, source = tmp_path / "run", f"folder:{tmp_path / 'pictures'}"
    outcome = succeed(*short(source, run, "--skip-unreadable"))
    assert "5 of 6 pictures, 1 unreadable left out; cpu" in outcome.err
    assert "5 images" in succeed("reconstruct", run).out
    assert '"num_images": 5' in succeed("evaluate", run, "--json").out
