"""Safetensors files, read without the library and compared with it; headers that lie."""

import json
import struct

import numpy as np
import pytest
from hostile import refusal

from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.safetensors import CODES

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file


def test_every_dtype_keeps_its_bits(tmp_path):
    state, expected = {"odd": torch.ones(3, dtype=torch.uint8)}, {}
    for code, dtype in CODES.items():
        bits = torch.arange(6 * dtype.itemsize, dtype=torch.uint8).mul(37).reshape(2, -1)
        bits = bits % 2 if code == "BOOL" else bits
        state[code] = bits.view(getattr(torch, str(dtype)))
        expected[code] = (dtype, (2, 3), bits.numpy().tobytes())
    save_file(state, tmp_path / "a")
    found = read_checkpoint(tmp_path / "a")
    del found["odd"]
    assert {c: (a.dtype, a.shape, a.tobytes()) for c, a in found.items()} == expected
    assert not any(array.flags.writeable for array in found.values())


def test_scalars_empty_tensors_and_metadata_are_read(tmp_path):
    state = {"scalar": torch.tensor(3.0), "empty": torch.zeros(0, 4), "module.w": torch.ones(2, 3)}
    save_file(state, tmp_path / "a.safetensors", metadata={"format": "pt", "note": "é"})
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert {name: array.shape for name, array in found.items()} == {
        "scalar": (),
        "empty": (0, 4),
        "module.w": (2, 3),
    }
    np.testing.assert_array_equal(found["scalar"], 3.0)


def test_unaligned_values_are_read(tmp_path):
    header = b'{"w":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}'
    header += b" " * (1 + -len(header) % 8)  # the format does not ask for alignment
    values = np.array([1.5, -2.5])
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + values.tobytes())
    found = read_checkpoint(path)["w"]
    assert found.flags.aligned
    np.testing.assert_array_equal(found, values)


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
        safetensors(b'{"w":[' + b"[]," * 1_400_000 + b"[]]}"),
        safetensors(b'{"w": \xff\xff}'),
        safetensors(b"{}{}"),
    ],
    ids=range(38),
)
def test_a_header_that_lies_is_refused(tmp_path, content):
    refusal(tmp_path, content, little_memory=True)
