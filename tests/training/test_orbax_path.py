"""A checkpoint can be read from a folder of any name, and is opened before it counts as saved."""

import gc
import os
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest

from vae_jax.errors import RunError
from vae_jax.models import create_model, init_variables
from vae_jax.training import loop
from vae_jax.training.checkpoint import load_run_state, load_variables, save_variables
from vae_jax.training.orbax_path import orbax_path
from vae_jax.training.saving import Checkpoints

from . import tiny

# What Orbax had under way when the index was missing complains when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NAMES = ["lr=[1e-3]", "a*b", "why?", "a\\b", "gs:", os.fsdecode(b"not UTF-8 \xff")]


def weights(seed):
    variables = init_variables(create_model("tiny_vae"), jax.random.key(seed))
    return jax.tree.map(np.asarray, variables)


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_back_from_a_folder_with_a_name_that_orbax_misreads(tmp_path, name):
    save_variables(tmp_path / name / name, "tiny_vae", {}, weights(0))
    assert tiny.bits(load_variables(tmp_path / name / name)[2]) == tiny.bits(weights(0))


def test_a_star_in_a_name_does_not_match_another_folder(tmp_path):
    save_variables(tmp_path / "a-b", "tiny_vae", {}, weights(1))
    save_variables(tmp_path / "a*b", "tiny_vae", {}, weights(2))
    assert tiny.bits(load_variables(tmp_path / "a*b")[2]) == tiny.bits(weights(2))
    assert tiny.bits(load_variables(tmp_path / "a-b")[2]) == tiny.bits(weights(1))


def test_a_run_in_a_folder_with_brackets_is_resumed_and_read(tmp_path):
    place = tmp_path / "project [2024]" / "lr=[1e-3]"
    loop.train(tiny.run_of(place, epochs=1), tiny.dataset_of())
    resumed = loop.train(tiny.run_of(place, epochs=2), tiny.dataset_of(), resume=True)
    whole = loop.train(tiny.run_of(tmp_path / "plain", epochs=2), tiny.dataset_of())
    assert tiny.bits(resumed.state) == tiny.bits(whole.state)
    place.rename(tmp_path / "renamed")
    read = load_run_state(tmp_path / "renamed" / "checkpoints")
    assert tiny.bits(read.params) == tiny.bits(whole.state.params)


def test_a_plain_path_goes_to_orbax_as_it_is(tmp_path):
    assert orbax_path(tmp_path / "run" / "checkpoints") == tmp_path / "run" / "checkpoints"


def test_a_folder_for_buckets_is_reached_by_a_link():
    found = orbax_path(Path("/gs/run/checkpoints"))
    assert (found.name, found.parent.readlink()) == ("checkpoints", Path("/gs/run"))


def test_a_run_that_orbax_cannot_write_is_refused_before_anything_is(tmp_path, monkeypatch):
    (tmp_path / "tmp[1]").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp[1]"))
    with pytest.raises(RunError, match=r"Orbax cannot write '\[' in a path; choose a folder"):
        loop.train(tiny.run_of(tmp_path / "lr=[1e-3]"), tiny.dataset_of())
    assert not (tmp_path / "lr=[1e-3]").exists()


def test_a_checkpoint_that_cannot_be_opened_does_not_count_as_saved(tmp_path, monkeypatch):
    written = Checkpoints._write

    def write_and_lose_the_index(self, step, *args):
        written(self, step, *args)
        self._manager.wait_until_finished()
        (self._folder / str(step) / "default" / "manifest.ocdbt").unlink()

    monkeypatch.setattr(Checkpoints, "_write", write_and_lose_the_index)
    with pytest.raises(RunError, match=r"checkpoint 3 cannot be read back: .*; there is none yet"):
        loop.train(tiny.run_of(tmp_path / "run", epochs=1), tiny.dataset_of())
    gc.collect()
