"""A run folder explains itself."""

import dataclasses
import json

import flax
import jax
import numpy as np
import optax
import pytest

import vae_jax
from vae_jax.errors import RunError
from vae_jax.recipe import Recipe
from vae_jax.training import loop
from vae_jax.training.metrics import append_metrics, read_metrics, rewrite_metrics
from vae_jax.training.run import (
    open_run,
)

from . import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "Läufe von heute" / "run 1"
    run = tiny.run_of(path, "digits_ae", epochs=1, seed=7)
    loop.train(run, tiny.dataset_of())
    return run


def test_the_description_holds_the_whole_recipe_and_where_it_ran(run, monkeypatch):
    description = json.loads((run.path / "run.json").read_text())
    assert description["model"] == "digits_ae"
    assert description["hyper"] == tiny.HYPER
    assert description["recipe"] == dataclasses.asdict(run.recipe)
    assert description["recipe"].keys() == {field.name for field in dataclasses.fields(Recipe)}
    data = tiny.dataset_of()
    assert description["data"] == {
        "source": "in memory",
        "fingerprint": data.fingerprint,
        "train_examples": 22,
        "test_examples": 10,
    }
    (segment,) = description["segments"]
    assert segment["from_step"] == 0
    environment = segment["environment"]
    assert environment["versions"] == {
        "vae_jax": vae_jax.__version__,
        "jax": jax.__version__,
        "flax": flax.__version__,
        "optax": optax.__version__,
        "numpy": np.__version__,
    }
    assert environment["devices"] == ["cpu"] * 8
    assert environment["backend"] == "cpu"
    assert environment["x64"] is False
    assert "matmul_precision" in environment
    assert environment["prng"] == "threefry2x32"
    assert "--xla_force_host_platform_device_count=8" in environment["xla_flags"]
    assert "git_revision" in environment
    assert description["started"].endswith("+00:00")


def test_a_description_opens_as_the_run_that_wrote_it(run):
    assert open_run(run.path) == run


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.pop("recipe"), "recipe"),
        (lambda d: d.update(model="vqgan"), "vqgan"),
        (lambda d: d["recipe"].update(momentum=1), "momentum"),
        (lambda d: d["recipe"].update(batch_size=0), "batch_size"),
        (lambda d: d["recipe"].pop("epochs"), "epochs"),
        (lambda d: d["recipe"].update(images=5), "images"),
        (lambda d: d.update(hyper={"latent_size": 0}), "latent_size"),
        (lambda d: d.update(hyper=3), "int"),
    ],
)
def test_a_description_that_is_not_one_is_an_error_of_one_line(run, tmp_path, change, told):
    description = json.loads((run.path / "run.json").read_text())
    change(description)
    (tmp_path / "run.json").write_text(json.dumps(description))
    with pytest.raises(RunError) as caught:
        open_run(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7"])
def test_a_damaged_description_is_an_error_of_one_line(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match="cannot be read") as caught:
        open_run(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_description_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"holds no run\.json"):
        open_run(tmp_path)


def test_metrics_are_read_as_they_were_written_but_for_a_torn_last_line(tmp_path):
    run = tiny.run_of(tmp_path)
    assert read_metrics(run) == []
    records = [{"epoch": 1, "step": 3, "loss": 0.1 + 0.2}, {"epoch": 2, "step": 6, "loss": 1e-300}]
    for record in records:
        append_metrics(run, record)
    with run.metrics.open("a") as file:
        file.write('{"epoch": 3, "lo')
    assert read_metrics(run) == records
    rewrite_metrics(run, records[:1])
    assert read_metrics(run) == records[:1]


@pytest.mark.parametrize("line", ['{"epoch": 1, "stop": 3}', '{"epoch": 1, "step": "3"}', "[1, 3]"])
def test_a_line_of_metrics_without_its_numbers_is_left_out(tmp_path, line):
    run, record = tiny.run_of(tmp_path), {"epoch": 2, "step": 6}
    run.metrics.write_text(f"{line}\n")
    append_metrics(run, record)
    assert read_metrics(run) == [record]
