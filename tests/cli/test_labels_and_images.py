"""Labels of ``sample`` and ``reconstruct``, and runs on some images alone."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

import vae_jax
from vae_jax import figures
from vae_jax.cli.encodings import encode_training_images
from vae_jax.data import open_dataset
from vae_jax.distributions import example_noise
from vae_jax.models import create_model, variable_shapes
from vae_jax.pretrained import Pretrained
from vae_jax.training.checkpoint import save_variables

from .feed import write_idx

SMALL = {"channels": 2}


def random_weights(name, **hyper):
    random, model = np.random.default_rng(0), create_model(name, **hyper)
    tensors = {
        rule.source: 0.3 * random.standard_normal(rule.to_source(np.zeros(shape)).shape, np.float32)
        for rule in vae_jax.MODELS[name].rules(model)
        for shape in [variable_shapes(model)[rule.target]]
    }
    return vae_jax.import_weights(name, tensors, **hyper)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Flax checkpoint folders of untrained models, by name."""
    made = {}
    for name in ("digits_vae", "digits_cvae"):
        made[name] = tmp_path_factory.mktemp("models") / name
        save_variables(made[name], name, SMALL, random_weights(name, **SMALL))
    return made


@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    """A data source of 30 images."""
    return f"idx:{write_idx(tmp_path_factory.mktemp('data') / 'thirty', 30)}"


@pytest.fixture
def tables(monkeypatch):
    """What was handed to ``image_table``: pictures, columns and row titles of each call."""
    calls, right = [], figures.image_table

    def watch(images, columns, *, row_titles=None, title=None):
        calls.append((np.asarray(images), columns, row_titles))
        return right(images, columns, row_titles=row_titles, title=title)

    monkeypatch.setattr(figures, "image_table", watch)
    return calls


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of digits that nobody wrote."""
    random, paths = np.random.default_rng(1), []
    for name in ("eins", "zwei"):
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(random.integers(0, 256, (28, 28), np.uint8)).save(paths[-1])
    return paths


@pytest.mark.slow
def test_a_model_with_labels_is_sampled_in_a_row_of_each(succeed, folders, tables, tmp_path):
    target = tmp_path / "samples.png"
    sample = ("sample", folders["digits_cvae"], "--out", target)
    out = succeed(*sample, "--count=3", "--seed=4").out
    assert out == f"30 samples of digits_cvae, seed 4: {target}\n"
    succeed(*sample, "--count=3", "--seed=4", "--label=7", "--label=2")
    succeed(*sample, "--count=21", "--label=7")
    every, two, many = tables
    assert (every[0].shape, *every[1:]) == ((30, 28, 28, 1), 3, list("0123456789"))
    assert (two[0].shape, *two[1:]) == ((6, 28, 28, 1), 3, ["7", "2"])
    assert (many[0].shape, *many[1:]) == ((40, 28, 28, 1), 20, ["7", "7"])  # in rows of 20
    # The row of a label is decoded from it and from that row's noise.
    noise = np.asarray(example_noise(jax.random.key(4), 6, 2))[:3]
    label = np.eye(10, dtype=np.float32)[[7, 7, 7]]
    model = create_model("digits_cvae", **SMALL)
    expected = model.apply(random_weights("digits_cvae", **SMALL), noise, label, method="decode")
    np.testing.assert_allclose(two[0][:3], (np.asarray(expected) + 1) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_model_without_labels_is_sampled_as_the_tutorials_table(
    succeed, cli, folders, tables, tmp_path
):
    sample = ("sample", folders["digits_vae"], "--out", tmp_path / "samples.png")
    succeed(*sample)
    succeed(*sample, "--count=7")
    assert [(images.shape[0], columns) for images, columns, _ in tables] == [(200, 20), (7, 20)]
    assert "digits_vae takes no label; leave out label (--label)" in cli(*sample, "--label=3").error


@pytest.mark.parametrize("label", [12, -1])
def test_a_label_that_is_no_class_is_refused(cli, folders, pictures, tmp_path, label):
    target = tmp_path / "x.png"
    for command in (("sample",), ("reconstruct", pictures[0])):
        arguments = (command[0], folders["digits_cvae"], *command[1:])
        error = cli(*arguments, f"--label={label}", "--out", target).error
        assert f"a label is {label}; digits_cvae takes 0 to 9" in error
    assert not target.exists()


def test_pictures_for_a_model_with_labels_need_theirs(succeed, cli, folders, pictures, tmp_path):
    reconstruct = ("reconstruct", folders["digits_cvae"], *pictures, "--out", tmp_path / "x.png")
    error = cli(*reconstruct).error
    assert "digits_cvae takes a label with each image; give label (--label) 0 to 9" in error
    error = cli(*reconstruct, "--label=1", "--label=2", "--label=3").error
    assert "3 labels for 2 pictures; expected one for all or one each" in error
    assert not (tmp_path / "x.png").exists()
    figures_of = {
        labels: json.loads(succeed(*reconstruct, *labels, "--json").out)["squared_error"]
        for labels in (("--label=7",), ("--label=7", "--label=7"), ("--label=7", "--label=2"))
    }
    one, same, other = figures_of.values()
    assert one == same != other


@pytest.mark.slow
def test_a_data_source_has_labels_of_its_own(succeed, cli, folders, data, tmp_path):
    reconstruct = (
        "reconstruct",
        folders["digits_cvae"],
        "--data",
        data,
        "--out",
        tmp_path / "x.png",
    )
    found = json.loads(succeed(*reconstruct, "--count=4", "--json").out)
    test = open_dataset(data, (28, 28, 1)).test
    x = test.images[:4].astype(np.float32) / 127.5 - 1
    label = np.eye(10, dtype=np.float32)[test.labels[:4]]
    model, variables = create_model("digits_cvae", **SMALL), random_weights("digits_cvae", **SMALL)
    z = model.apply(variables, x, label, method="encode").mean
    decoded = model.apply(variables, z, label, method="decode")
    expected = ((np.asarray(decoded) - x) ** 2).sum() / 4 / 4  # of pixels from 0 to 1
    assert found["squared_error"] == pytest.approx(expected, rel=1e-4)
    assert "--label needs IMAGES" in cli(*reconstruct, "--label=3").error


def test_a_label_for_a_model_without_any_is_refused(cli, folders, pictures, tmp_path):
    arguments = (folders["digits_vae"], pictures[0], "--label=3", "--out", tmp_path / "x.png")
    for command in (("reconstruct",), ("denoise", "--corrupt=mask:0.5")):
        error = cli(command[0], *arguments, *command[1:]).error
        assert "digits_vae takes no label; leave out label (--label)" in error
    assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("images", "size"), [("5", 1), ("5,25", 2)])
def test_a_run_on_chosen_images_is_trained_on_those_alone(succeed, thirty, tmp_path, images, size):
    hyper = {"latent_size": 3, "hidden_size": 8}
    variables = random_weights("digits_ae", **hyper)
    save_variables(tmp_path / "start", "digits_ae", hyper, variables)
    recipe = ("--data", thirty, f"--batch-size={size}", f"--images={images}", "--epochs=1")
    out = ("--init", tmp_path / "start", "--out", tmp_path / "run", "--json")
    (record,) = json.loads(succeed("train", "digits_ae", *recipe, *out).out)["epochs"]
    assert record["step"] == 1
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["data"]["train_examples"] == size
    train = open_dataset(thirty, (28, 28, 1)).train
    x = train.images[[int(number) for number in images.split(",")]].astype(np.float32) / 255
    decoded, _ = create_model("digits_ae", **hyper).apply(variables, x)
    expected = float(((np.asarray(decoded) - x) ** 2).sum())
    assert record["reconstruction"] == pytest.approx(expected, rel=1e-5)


def test_the_latents_of_a_run_on_one_image_are_that_images(thirty):
    recipe = vae_jax.MODELS["digits_vae"].recipe.replace(data=thirty, images="5")
    loaded = Pretrained("digits_vae", SMALL, random_weights("digits_vae", **SMALL), recipe)
    train = open_dataset(thirty, (28, 28, 1)).train
    # A source that is named is meant whole.
    for source, numbers in ((None, [5]), (thirty, list(range(12)))):
        encoded, images, _ = encode_training_images(loaded, source, 12)
        np.testing.assert_array_equal(images.labels, train.labels[numbers])
        np.testing.assert_array_equal(encoded.mean, loaded.encode(train.images[numbers]).mean)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ("99999", "has no training image 99999: expected 0 to 29"),
        ("5,30", "has no training image 30: expected 0 to 29"),
        ("five", "images is 'five'; expected all, or numbers from 0 such as 5,25"),
        ("5", "1 examples make no batch of 2: choose a batch size of 1 or less"),
    ],
)
def test_images_that_are_not_there_or_too_few_leave_no_run(cli, thirty, tmp_path, images, told):
    recipe = ("--data", thirty, f"--images={images}", "--batch-size=2", "--hyper=channels=2")
    assert told in cli("train", "digits_vae", *recipe, "--out", tmp_path / "run").error
    assert not (tmp_path / "run").exists()


def test_labels_beyond_the_models_classes_leave_no_run(cli, tmp_path):
    folder = write_idx(tmp_path / "data")
    file = folder / "train-labels-idx1-ubyte"
    content = bytearray(file.read_bytes())
    content[-1] = 25
    file.write_bytes(content)
    recipe = ("--data", f"idx:{folder}", "--batch-size=2", "--hyper=channels=2")
    error = cli("train", "digits_cvae", *recipe, "--out", tmp_path / "run").error
    assert "a label is 25 but the model takes 0 to 9" in error
    assert not (tmp_path / "run").exists()
