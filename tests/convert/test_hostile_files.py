"""Files that lie or break off: one line of error, quickly and in little memory."""

import io
import json
import pickle
import random
import re
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch
from hostile import refusal
from safetensors.torch import save as save_safetensors

from vae_jax.convert.read import read_checkpoint
from vae_jax.errors import CheckpointError

STATE = {"weight": torch.arange(12.0).reshape(3, 4).t(), "bias": torch.arange(3)}


def saved(state=STATE, **options):
    torch.save(state, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit itself
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 3)), buffer := io.BytesIO())
    return buffer.getvalue()


# --- archives that lie --------------------------------------------------------------------------


def test_a_zip_bomb_is_refused(tmp_path):
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"".join(engine.compress(bytes(1 << 20)) for _ in range(200)) + engine.flush()
    for declared in (200 << 20, 10 << 30, 1 << 20):
        name, wide = b"a/data.pkl", struct.pack("<2H2Q", 1, 16, declared, len(zeros))
        full = 0xFFFFFFFF
        local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 0, 1, full, full, len(name), 0)
        body = local + name + zeros
        entry = struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            45,
            45,
            0,
            8,
            0,
            0,
            1,
            full,
            full,
            len(name),
            20,
            0,
            0,
            0,
            0,
            0,
        )
        entry += name + wide
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(body), 0)
        assert "data.pkl" in refusal(tmp_path, body + entry + end, little_memory=True)


def test_a_compressed_tensor_is_refused(tmp_path):
    with (
        zipfile.ZipFile(io.BytesIO(saved())) as old,
        zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "uncompressed" in refusal(tmp_path, buffer.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(buffer := io.BytesIO(saved()), "a") as archive:
        archive.writestr("archive/data/0", bytes(48))
    assert "same name" in refusal(tmp_path, buffer.getvalue())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (8, struct.pack("<H", 0x0809), "encrypted"),
        (10, struct.pack("<H", 99), "method 99"),
        (20, struct.pack("<L", 1 << 30), "two sizes"),
        (24, struct.pack("<L", 1 << 30), "two sizes"),
        (20, struct.pack("<2L", 1 << 30, 1 << 30), "not where"),
        (42, struct.pack("<L", 4), "overlaps|no matching"),
        (42, struct.pack("<L", 1 << 31), "outside"),
        (46, b"brchive", "not where"),
        (16, struct.pack("<L", 12345), "checksum"),
    ],
)
def test_a_table_of_contents_that_lies_is_refused(tmp_path, field, value, message):
    content = bytearray(saved())
    at = content.index(b"PK\1\2") + field
    content[at : at + len(value)] = value
    found = refusal(tmp_path, bytes(content))
    assert any(part in found for part in message.split("|")), found


@pytest.mark.parametrize("field", [8, 10, 12, 16])
def test_an_end_that_lies_is_refused(tmp_path, field):
    content = bytearray(saved())
    at = content.rindex(b"PK\5\6") + field
    content[at : at + 2] = b"\x77\x77"
    refusal(tmp_path, bytes(content))


# --- safetensors that lie -----------------------------------------------------------------------


def safetensors(header, values=bytes(16), length=None):
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(packed) if length is None else length) + packed + values


def entry(dtype="F32", shape=(4,), span=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


@pytest.mark.parametrize(
    "content",
    [
        safetensors({"w": entry()}, length=2**60),
        safetensors({"w": entry()}, length=2**63 + 5),
        safetensors({"w": entry()}, length=20),
        safetensors({"w": entry()}, length=0),
        safetensors({"w": entry(span=(0, 20))}),
        safetensors({"w": entry(span=(4, 20))}),
        safetensors({"w": entry(span=(-16, 0))}),
        safetensors({"w": entry(span=(16, 0))}),
        safetensors({"w": entry(span=(0, 2**70))}),
        safetensors({"w": entry(span=(False, 16))}),
        safetensors({"w": entry(shape=[5])}),
        safetensors({"w": entry(shape=[-4])}),
        safetensors({"w": entry(shape=[-2, -2])}),
        safetensors({"w": entry(shape=[2**62, 0])}),
        safetensors({"w": entry(shape=[10**400])}),
        safetensors({"w": entry(shape=[2**61] * 100_000)}),
        safetensors({"w": entry(shape=[1] * 1000 + [4])}),
        safetensors({"w": entry(shape=["4"])}),
        safetensors({"w": entry(shape=[4.0])}),
        safetensors({"w": entry(dtype="F4")}),
        safetensors({"w": entry(dtype="Q8")}),
        safetensors({"w": {"dtype": "F32"}}),
        safetensors({"w": entry() | {"more": 1}}),
        safetensors({"w": 3}),
        safetensors({"w": entry(), "v": entry()}),
        safetensors({"w": entry(span=(0, 8), shape=[2])}),
        safetensors({"a": entry(span=(0, 8), shape=[2]), "b": entry(span=(4, 16), shape=[3])}),
        safetensors({"w": entry()}, bytes(17)),
        safetensors({"__metadata__": {"format": 3}, "w": entry()}),
        safetensors({}, b""),
        safetensors(b'{"w":' + json.dumps(entry()).encode() + b',"w":{}}'),
        safetensors(b'{"\\ud800":' + json.dumps(entry()).encode() + b"}"),
        safetensors(b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        safetensors(b'{"w":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001),
        safetensors(b'{"w":' + b"9" * 100_000 + b"}"),
        safetensors(b'{"w":[' + b"[]," * 3_000_000 + b"[]]}"),
        safetensors(b'{"w": \xff\xff}'),
        safetensors(b"{}{}"),
    ],
    ids=range(38),
)
def test_a_safetensors_header_that_lies_is_refused(tmp_path, content):
    refusal(tmp_path, content, little_memory=True)


# --- tensors that repeat ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2_000_000,), (50_000, 700), (1 << 31,)])
def test_a_number_repeated_to_a_large_tensor_is_refused(tmp_path, shape):
    assert "too large" in refusal(tmp_path, saved({"w": torch.zeros(1).expand(shape)}))


def test_many_tensors_that_repeat_the_same_numbers_are_refused(tmp_path):
    shared = torch.zeros(1).expand(1_000_000)
    few = {f"{n}": shared for n in range(8)}
    (tmp_path / "few.pth").write_bytes(saved(few))
    assert len(read_checkpoint(tmp_path / "few.pth")) == 8
    assert "the same again" in refusal(tmp_path, saved({f"{n}": shared for n in range(20)}))


def test_tensors_that_share_a_storage_are_read(tmp_path):
    flat = torch.arange(10_000_000, dtype=torch.int8)
    (tmp_path / "a.pth").write_bytes(saved({f"{n}": flat[n:] for n in range(7)}))
    found = read_checkpoint(tmp_path / "a.pth")
    assert all(np.array_equal(found[f"{n}"], flat[n:]) for n in range(7))


# --- damage -------------------------------------------------------------------------------------


GOOD = {
    "zip": saved(),
    "legacy": saved(_use_new_zipfile_serialization=False),
    "torchscript": scripted(),
    "safetensors": save_safetensors({name: t.contiguous() for name, t in STATE.items()}),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_truncated_file_is_refused_at_every_length(tmp_path, kind):
    good = GOOD[kind]
    path = tmp_path / "short"
    for length in range(0, len(good), max(1, len(good) // 150)):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


@pytest.mark.parametrize("kind", GOOD)
def test_a_changed_byte_is_refused_or_changes_no_value(tmp_path, kind):
    good, path, dice = GOOD[kind], tmp_path / "mutated", random.Random(0)
    path.write_bytes(good)
    expected = {name: array.copy() for name, array in read_checkpoint(path).items()}
    refused = 0
    for _ in range(400):
        content = bytearray(good)
        content[dice.randrange(len(good))] ^= 1 << dice.randrange(8)
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
    assert refused > 100


def test_a_changed_value_in_a_zip_file_is_noticed(tmp_path):
    content = bytearray(GOOD["zip"])
    content[content.index(np.float32(7).tobytes())] ^= 1
    assert "checksum" in refusal(tmp_path, bytes(content))


# --- other files --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "web page.*download failed"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"Not Found", "is text, beginning 'Not Found'"),
        (b'{"error": {"message": "no"}}', "is text"),
        (b"\x1f\x8b\x08\x00" + bytes(30), "gzip"),
        (bytes(257) + b"ustar" + bytes(300), "tar archive"),
        (b"\x89HDF\r\n\x1a\n" + bytes(30), "HDF5"),
        (b"\x08\x07\x12\x07pytorch" + bytes(20), "ONNX"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (pickle.dumps([np.ones(3)], 4), "found a list.*expected a state dict"),
        (pickle.dumps({"w": 1}, 2), "found a dict of 'w'.*expected a state dict"),
        (b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81.", "joblib.*nothing was run"),
        (bytes(100), "no supported format"),
        (b"\xff\xfe\xfd", "no supported format"),
        (b"PK\x05\x06" + bytes(18), "0 records"),
        (b"PK\x03\x04", "damaged zip"),
    ],
    ids=range(18),
)
def test_another_kind_of_file_is_named(tmp_path, content, message):
    assert re.search(message, refusal(tmp_path, content))


def test_another_kind_of_zip_file_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.ones(3))
    with pytest.raises(CheckpointError, match=r"w\.npy.*data\.pkl"):
        read_checkpoint(tmp_path / "a.npz")


def test_a_folder_a_missing_file_and_a_device_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_checkpoint(tmp_path / "none\n.pth")
    with pytest.raises(CheckpointError, match="no regular file"):
        read_checkpoint("/dev/zero")
    with pytest.raises(CheckpointError, match="null byte"):
        read_checkpoint("a\0b")
