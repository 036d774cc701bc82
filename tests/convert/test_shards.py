"""Checkpoints in several files are read by their index; other kinds of parts say what to give."""

import json

import numpy as np
import pytest
from adam_states import AE, made_up
from hostile import one_line

import vae_jax
from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.training_files import read_adam
from vae_jax.errors import UserError
from vae_jax.models import get_spec

WEIGHTS = made_up("digits_ae").exp_avg


@pytest.fixture
def index(tmp_path):
    """The index of a model in two files."""
    shards, table = {}, {}
    for number, name in enumerate(WEIGHTS):
        file = f"model-{number % 2 + 1:05}-of-00002.safetensors"
        shards.setdefault(file, {})[name] = WEIGHTS[name]
        table[name] = file
    for file, tensors in shards.items():
        vae_jax.write_checkpoint(tmp_path / file, tensors)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 3}, "weight_map": table}, indent=2))
    return path


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content["weight_map"])
    path.write_text(json.dumps(content))


def test_an_index_is_read_with_its_files(index, monkeypatch):
    found = read_checkpoint(index)
    assert found.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(found[name], array)
    assert vae_jax.load(index).hyper == AE
    assert read_adam("digits_ae", [index], get_spec("digits_ae").recipe, **AE) is None
    monkeypatch.chdir(index.parent)
    assert read_checkpoint(index.name).keys() == WEIGHTS.keys()


def test_one_shard_and_the_folder_name_the_index(index):
    shard = index.with_name("model-00001-of-00002.safetensors")
    assert len(read_checkpoint(shard)) == 4
    message = one_line(shard, vae_jax.load)
    assert message.endswith("give model.safetensors.index.json, with all shards beside it")
    with pytest.raises(UserError, match=r"name model\.safetensors\.index\.json$"):
        vae_jax.load(index.parent)


def test_an_index_that_does_not_fit_its_files_is_refused(index):
    assert "has no dict 'ema': leave out" in one_line(
        index, lambda path: read_checkpoint(path, key="ema")
    )
    rewrite(index, lambda table: table.pop("l1.bias"))
    assert "('l1.bias' is in one only)" in one_line(index, read_checkpoint)
    index.with_name("model-00002-of-00002.safetensors").write_bytes(b"short")
    assert "'model-00002-of-00002.safetensors', which is" in one_line(index, read_checkpoint)
    index.with_name("model-00002-of-00002.safetensors").unlink()
    assert "which is missing: expected it beside" in one_line(index, read_checkpoint)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("../a.safetensors", "which is no file beside it"),
        ("/etc/passwd", "which is no file beside it"),
        (3, "which is no file beside it"),
        ("model.safetensors.index.json", "found a ShardIndex"),  # itself
        ("..", "which is missing"),
    ],
)
def test_an_index_of_other_files_is_refused(index, file, message):
    rewrite(index, lambda table: table.update(dict.fromkeys(table, file)))
    assert message in one_line(index, read_checkpoint)


def test_a_damaged_index_is_refused(index):
    index.write_text('{"weight_map": {}}')
    assert "names 0 files" in one_line(index, read_checkpoint)
    index.write_text('{"weight_map": 3')
    assert "is not JSON" in one_line(index, read_checkpoint)
    index.write_text('{"weight_map": ' + "[" * 100_000)
    assert "is not JSON" in one_line(index, read_checkpoint)


@pytest.mark.torch
def test_what_pytorch_keeps_in_other_forms_names_the_conversion(tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 3)
    program = torch.export.export(layer, (torch.ones(1, 2),))
    torch.export.save(program, path := tmp_path / "a.pt2")
    assert "save torch.export.load(path).state_dict" in one_line(path, read_checkpoint)
    folder = tmp_path / "distributed"
    folder.mkdir()
    (folder / ".metadata").write_bytes(b"")
    torch.save(torch.ones(2), shard := folder / "__0_0.distcp")  # as a shard of one tensor is
    for path in (folder, shard):
        assert "dcp_to_torch FOLDER out.pth" in one_line(path, read_checkpoint)
    with pytest.raises(UserError, match=r"is a folder of torch\.distributed\.checkpoint"):
        vae_jax.load(folder)
