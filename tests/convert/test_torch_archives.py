"""Archives of torch.save that lie, and tensors that repeat: refused quickly, in little memory."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hostile import refusal

from vae_jax.convert.read import read_checkpoint

torch = pytest.importorskip("torch")


def saved(state=None):
    state = state or {"weight": torch.arange(12.0).reshape(3, 4).t(), "bias": torch.arange(3)}
    torch.save(state, buffer := io.BytesIO())
    return buffer.getvalue()


# --- archives that lie --------------------------------------------------------------------------


def test_a_zip_bomb_is_refused(tmp_path):
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"".join(engine.compress(bytes(1 << 20)) for _ in range(80)) + engine.flush()
    for declared in (80 << 20, 10 << 30, 1 << 20):
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


# --- tensors that repeat ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2_000_000,), (50_000, 700), (1 << 31,)])
def test_a_number_repeated_to_a_large_tensor_is_refused(tmp_path, shape):
    assert "too large" in refusal(tmp_path, saved({"w": torch.zeros(1).expand(shape)}))


def test_many_tensors_that_repeat_the_same_numbers_are_refused(tmp_path):
    shared = torch.zeros(1).expand(1_000_000)
    few = {f"{n}": shared for n in range(8)}
    (tmp_path / "few.pth").write_bytes(saved(few))
    assert len(read_checkpoint(tmp_path / "few.pth")) == 8
    assert "repeat them" in refusal(tmp_path, saved({f"{n}": shared for n in range(20)}))


def test_tensors_that_share_a_storage_are_read(tmp_path):
    flat = torch.arange(10_000_000, dtype=torch.int8)
    (tmp_path / "a.pth").write_bytes(saved({f"{n}": flat[n:] for n in range(7)}))
    found = read_checkpoint(tmp_path / "a.pth")
    assert all(np.array_equal(found[f"{n}"], flat[n:]) for n in range(7))
