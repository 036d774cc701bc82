"""Files that break off, are damaged or of another kind: one line of error, or the same values."""

import functools
import io
import random
import warnings

import numpy as np
import pytest
from hostile import refusal

from vae_jax.convert.read import read_checkpoint
from vae_jax.errors import CheckpointError
from vae_jax.models import get_spec
from vae_jax.training.checkpoint import save_variables
from vae_jax.training.run import Run, create_run

# --- damage -------------------------------------------------------------------------------------

KINDS = ["zip", "legacy", "torchscript", "safetensors"]


@functools.cache
def good(kind):
    """The content of an honest file."""
    torch = pytest.importorskip("torch")
    state = {"weight": torch.arange(12.0).reshape(3, 4).t(), "bias": torch.arange(3)}
    buffer = io.BytesIO()
    if kind == "safetensors":
        packed = {name: tensor.contiguous() for name, tensor in state.items()}
        return pytest.importorskip("safetensors.torch").save(packed)
    if kind == "torchscript":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit itself is deprecated
            torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), buffer)
    else:
        torch.save(state, buffer, _use_new_zipfile_serialization=kind == "zip")
    return buffer.getvalue()


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_breaks_off_is_refused_wherever_it_does(tmp_path, kind):
    content, path = good(kind), tmp_path / "short"
    for length in range(0, len(content), max(1, len(content) // 150)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


@pytest.mark.torch
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_byte_is_refused_or_changes_no_value(tmp_path, kind):
    honest, path, dice = good(kind), tmp_path / "mutated", random.Random(0)
    path.write_bytes(honest)
    expected = {name: array.copy() for name, array in read_checkpoint(path).items()}
    refused = 0
    for _ in range(200):
        content = bytearray(honest)
        content[dice.randrange(len(honest))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        try:
            found = read_checkpoint(path)
        except CheckpointError:
            refused += 1
            continue
        # Neither the older format nor safetensors has checksums: there names and values may change.
        assert len(found) == len(expected)
        if kind in ("zip", "torchscript"):
            assert found.keys() == expected.keys()
            for name, array in expected.items():
                assert found[name].tobytes() == array.tobytes()
                assert found[name].shape == array.shape
    assert refused > 50


@pytest.mark.torch
def test_a_changed_value_in_a_zip_file_is_noticed(tmp_path):
    content = bytearray(good("zip"))
    content[content.index(np.float32(7).tobytes())] ^= 1
    assert "checksum" in refusal(tmp_path, bytes(content))


# --- other files --------------------------------------------------------------------------------


def test_the_folders_of_runs_and_of_flax_name_what_reads_them(tmp_path):
    run = Run(tmp_path / "run", "digits_ae", {}, get_spec("digits_ae").recipe)
    create_run(run, {})
    with pytest.raises(CheckpointError, match=r"run: is the folder of a run.*vae_jax\.load\(path"):
        read_checkpoint(run.path)
    save_variables(tmp_path / "flax", "digits_ae", {}, {"params": {"w": np.ones(2, np.float32)}})
    with pytest.raises(CheckpointError, match=r"flax: is a Flax .*vae_jax\.load\(path\) reads"):
        read_checkpoint(tmp_path / "flax")


def test_a_folder_a_missing_file_and_a_device_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "none\n.pth")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_checkpoint("/dev/zero")
    with pytest.raises(CheckpointError, match=r"null (byte|character)"):
        read_checkpoint("a\0b")
