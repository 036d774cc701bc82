"""What is saved is loaded bit for bit; what is damaged is told in one line."""

import gc
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.errors import CheckpointError, RunError, UserError
from vae_jax.models import create_model
from vae_jax.training import loop
from vae_jax.training.checkpoint import (
    is_flax_checkpoint,
    load_run_variables,
    load_variables,
    save_variables,
)
from vae_jax.training.epoch_runner import Options
from vae_jax.training.state import init_variables

from . import tiny

# What Orbax had under way when it met damaged bytes complains when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def collected():
    """So that it is collected where it is expected."""
    yield
    gc.collect()


def variables_of(dtype=np.float32):
    """A tree as ``import_weights`` gives it: awkward floats and an int64 counter."""
    variables = init_variables(create_model("tiny_vae"), jax.random.key(0))
    random = np.random.default_rng(0)

    def leaf(array):
        if array.dtype == jnp.int32:
            return np.asarray(2**40 + 1, np.int64)
        awkward = random.standard_normal(array.shape).astype(dtype)
        awkward.reshape(-1)[0] = -0.0
        awkward.reshape(-1)[-1] = np.finfo(dtype).smallest_subnormal
        return awkward

    return jax.tree.map(leaf, variables)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "Gewichte für später"
    save_variables(folder, "tiny_vae", {"latent_size": 2}, variables_of())
    return folder


@pytest.fixture
def damaged(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "damaged")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_variables_come_back_bit_for_bit(tmp_path, dtype):
    variables = variables_of(dtype)
    save_variables(tmp_path / "flax", "tiny_vae", {"latent_size": 2}, variables)
    name, hyper, loaded = load_variables(tmp_path / "flax")
    assert (name, hyper) == ("tiny_vae", {"latent_size": 2})
    assert tiny.bits(loaded) == tiny.bits(variables)
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(loaded))
    counter = loaded["batch_stats"]["norm"]["num_batches_tracked"]
    assert (counter.dtype, counter.shape, int(counter)) == (np.int64, (), 2**40 + 1)


def test_arrays_on_a_device_can_be_saved(tmp_path):
    variables = init_variables(create_model("digits_ae", **tiny.HYPER), jax.random.key(0))
    save_variables(tmp_path / "flax", "digits_ae", tiny.HYPER, variables)
    assert tiny.bits(load_variables(tmp_path / "flax")[2]) == tiny.bits(variables)


def test_an_empty_folder_may_be_filled_and_another_may_not(tmp_path, saved):
    (tmp_path / "empty").mkdir()
    save_variables(tmp_path / "empty", "tiny_vae", {}, variables_of())
    assert is_flax_checkpoint(tmp_path / "empty")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("years of work")
    for taken in (saved, tmp_path / "mine", tmp_path / "file"):
        with pytest.raises(CheckpointError, match="exists already"):
            save_variables(taken, "tiny_vae", {}, variables_of())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert (tmp_path / "file").read_text() == "years of work"


def test_a_folder_is_a_checkpoint_only_when_it_was_written_to_its_end(tmp_path, monkeypatch):
    def fail(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr("vae_jax.training.checkpoint.write_atomically", fail)
    with pytest.raises(KeyboardInterrupt):
        save_variables(tmp_path / "flax", "tiny_vae", {}, variables_of())
    assert not is_flax_checkpoint(tmp_path / "flax")


def fails(folder, kind: type[UserError] = CheckpointError):
    with pytest.raises(kind) as caught:
        load_variables(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "7", "null", "{}", '{"model": "tiny_vae"}', '{"model": [], "hyper": {}}'),
        *('{"model": "tiny_vae", "hyper": 3}', '{"model": "tiny_vae", "hyper": "ab"}'),
    ],
)
def test_a_damaged_description_is_an_error_that_names_the_folder(damaged, text):
    (damaged / "model.json").write_text(text)
    assert str(damaged) in fails(damaged)


def test_a_description_of_an_unknown_model_lists_the_models(damaged):
    (damaged / "model.json").write_text('{"model": "vqgan", "hyper": {}}')
    message = fails(damaged, UserError)
    assert "vqgan" in message
    assert "digits_ae" in message


def test_a_missing_description_is_an_error(damaged):
    (damaged / "model.json").unlink()
    assert str(damaged) in fails(damaged)


def test_missing_variables_are_an_error(damaged):
    shutil.rmtree(damaged / "variables")
    assert str(damaged) in fails(damaged)


@pytest.mark.parametrize("size", [0, 3])
def test_truncated_variables_are_an_error(damaged, size):
    for path in (damaged / "variables").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:size])
    assert str(damaged) in fails(damaged)


def test_variables_of_another_shape_than_the_description_says_are_an_error(damaged):
    description = {"model": "tiny_vae", "hyper": {"latent_size": 3}}
    (damaged / "model.json").write_text(json.dumps(description))
    assert "not the variables of" in fails(damaged)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tiny.run_of(tmp_path_factory.mktemp("trained") / "run", "tiny_vae", epochs=1)
    return run, loop.train(run, tiny.dataset_of(), options=Options(checkpoint_every=1))


def test_a_runs_variables_are_those_of_its_last_state(trained):
    run, result = trained
    variables = load_run_variables(run.checkpoints)
    assert tiny.bits(variables) == tiny.bits(result.state.variables)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(variables))
    assert int(variables["batch_stats"]["norm"]["num_batches_tracked"]) == 3


def test_a_run_keeps_its_last_two_checkpoints(trained):
    run, _ = trained
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["2", "3"]


def test_a_run_without_a_checkpoint_says_so_and_stays_as_it_is(tmp_path):
    with pytest.raises(RunError, match="holds no checkpoint") as caught:
        load_run_variables(tmp_path / "run" / "checkpoints")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []  # to look at a run writes nothing


def truncate(folder):
    for path in (folder / "default").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:3])


def flip_a_bit(folder):
    """In the middle of the largest file, where the values are."""
    path = max((folder / "default").rglob("*"), key=lambda path: path.stat().st_size)
    values = bytearray(path.read_bytes())
    values[len(values) // 2] ^= 1
    path.write_bytes(values)


DAMAGES = {
    "truncated": truncate,
    "gone": lambda folder: shutil.rmtree(folder / "default"),
    "one bit": flip_a_bit,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # TensorStore's
@pytest.mark.parametrize(
    "damage",
    ["one bit", *(pytest.param(how, marks=pytest.mark.slow) for how in ("truncated", "gone"))],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_says_so(
    trained, tmp_path, damage, capsys
):
    folder = shutil.copytree(trained[0].checkpoints, tmp_path / "checkpoints")
    expected = tiny.bits(load_run_variables(folder, 2))
    DAMAGES[damage](folder / "3")
    assert tiny.bits(load_run_variables(folder)) == expected
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{folder}: checkpoint 3 cannot be read")
    assert line.endswith("taking checkpoint 2")
    DAMAGES[damage](folder / "2")
    with pytest.raises(RunError, match=r"checkpoint 3 .*; checkpoint 2 ") as caught:
        load_run_variables(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_is_not_there_is_an_error_that_lists_those_that_are(trained):
    with pytest.raises(RunError, match="no checkpoint of step 1; there are 2, 3"):
        load_run_variables(trained[0].checkpoints, 1)
