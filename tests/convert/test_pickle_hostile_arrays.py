"""Pickles of arrays that exhaust the reader, or lie about their arrays."""

import pickle
import random
import struct

import numpy as np
import pytest
from arrays import FROM_BUFFER, RECONSTRUCT, Made, array, buffer, dtype, endless
from hostile import refusal, text

from vae_jax.convert.pickle import machine
from vae_jax.convert.read import read_checkpoint
from vae_jax.errors import CheckpointError

SPLIT = "UnpackBigParamInfor@@"


def nested(layers):
    value = {"w": np.ones(1)}
    for _ in range(layers):
        value = {"d": value}
    return value


# --- arrays that lie ----------------------------------------------------------------------------

LIES = {
    "too few bytes": array(content=bytes(15)),
    "too many bytes": array(content=bytes(17)),
    "a huge shape": array((2**40,)),
    "a shape that overflows": array((2**62, 4), content=b""),
    "a shape beyond 64 bits": array((2**64 + 4,)),
    "a negative shape": array((-4,)),
    "two negative sizes": array((-2, -2)),
    "a size that is true": array((True,), content=bytes(4)),
    "a size that is a number": array((4.0,)),
    "a shape that is a list": array([4]),
    "a shape of endless tuples": array((endless(),)),
    "a huge empty shape": array((2**61, 2**61, 0), content=b""),
    "many axes": array((1,) * 70, content=bytes(4)),
    "a dtype of objects": array(kind=dtype("O8", False, True)),
    "a dtype of records": array(kind=dtype("V8", False, True)),
    "a dtype of text": array(kind=dtype("S4", False, True)),
    "a dtype of several": array(kind=dtype("f4,f4", False, True)),
    "a dtype of dates": array(kind=dtype("M8", False, True)),
    "a dtype of no width": array(kind=dtype("f", False, True)),
    "a dtype of bytes": array(kind=dtype(b"f4", False, True)),
    "a dtype of nothing": array(kind=dtype(None)),
    "a dtype of endless tuples": array(kind=dtype(endless())),
    "a dtype with fields": array(kind=dtype(state=(3, "<", None, ("a",), {"a": 1}, 4, 4, 0))),
    "a dtype with a subarray": array(kind=dtype(state=(3, "<", (1, 2), None, None, -1, -1, 0))),
    "a dtype without an order": array(kind=dtype(state=(3, "|", None, None, None, -1, -1, 0))),
    "a dtype of another order": array(kind=dtype(state=(3, "?", None, None, None, -1, -1, 0))),
    "a dtype with a dict": array(kind=dtype(state={"big_endian": True})),
    "no dtype": array(kind=np.ndarray),
    "objects": array(content=[1, 2, 3, 4]),
    "no content": array(content=None),
    "text that is no bytes": array(content="\u0100" * 16),
    "long text that is no bytes": array(content="\u0100" * 1000, shape=(500,)),
    "an order of another kind": array(fortran="F"),
    "a short state": Made(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, (4,), dtype())),
    "a state that is a dict": Made(RECONSTRUCT, (np.ndarray, (0,), b"b"), {"shape": (4,)}),
    "no state": Made(RECONSTRUCT, (np.ndarray, (0,), b"b")),
    "another class": array(first=(np.dtype, (0,), b"b")),
    "a class by name": array(first=("numpy.ndarray", (0,), b"b")),
    "few arguments": array(first=(np.ndarray,)),
    "a buffer of another size": buffer(bytes(15)),
    "a buffer of a list": buffer([0] * 16),
    "a buffer of another order": buffer(bytes(16), None, (4,), "A"),
    "a buffer without its axes": buffer(bytes(16), None, (4,), "K"),
    "a buffer with axes too many": buffer(bytes(16), None, (4,), "K", (0, 1)),
    "a buffer with an axis twice": buffer(bytes(16), None, (2, 2), "K", (0, 0)),
    "a buffer with axes that are true": buffer(bytes(16), None, (2, 2), "K", (True, False)),
    "a buffer with endless axes": buffer(bytes(16), None, (2, 2), "K", (endless(), 1)),
    "a buffer with axes for nothing": buffer(bytes(16), None, (2, 2), "C", (1, 0)),
    "a buffer without a dtype": Made(FROM_BUFFER, (bytes(16), "f4", (4,), "C")),
    "bytes made of bytes": array(content=Made(bytes, (10**9,))),
}


@pytest.mark.parametrize("lie", [None, *LIES])
def test_an_array_that_lies_is_refused(tmp_path, lie):
    honest = {"a": array(), "b": buffer(), "c": buffer(bytes(16), None, (2, 2), "K", (1, 0))}
    for protocol in (2, 4):
        content = pickle.dumps({"w": LIES[lie]} if lie else honest, protocol)
        if lie:
            refusal(tmp_path, content, little_memory=True)
        else:  # so that the lies are known to be why the others fail
            (tmp_path / "a").write_bytes(content)
            assert [a.size for a in read_checkpoint(tmp_path / "a").values()] == [4, 4, 4]


def pieces(table, **more):
    return {"w@@.0": np.ones(4), "w@@.1": np.zeros(2), **more, SPLIT: table}


def piece(shape=(6,), names=("w@@.0", "w@@.1")):
    return {"OriginShape": shape, "slices": list(names)}


@pytest.mark.parametrize(
    "root",
    [
        pieces([]),
        pieces({"w": 3}),
        pieces({"w": {"OriginShape": (6,)}}),
        pieces({"w": piece((7,))}),
        pieces({"w": piece((-6,))}),
        pieces({"w": piece([6])}),
        pieces({"w": piece((endless(),))}),
        pieces({"w": piece((1,) * 70 + (6,))}),
        pieces({"w": piece((0,), [])}),
        pieces({"w": piece((8,), ["w@@.0", "w@@.0"])}),
        pieces({"w": piece((6,), ["w@@.0", "x"])}),
        pieces({"w": piece((6,), ["w@@.0", 1])}),
        pieces({"w": piece((6,), [["w@@.0"], "w@@.1"])}),
        pieces({"w": piece((6,), [SPLIT, "w@@.1"])}),
        pieces({"w": piece(), "v": piece()}),
        pieces({3: piece()}),
        pieces({"w": piece((5,), ["w@@.0", "x"])}, x=np.ones(1, np.float32)),
        pieces({"w": piece((6,), ["w@@.0", "x"])}, x=np.ones((1, 2))),
        pieces({"w": piece((6,), ["w@@.0", "x"])}, x="text"),
    ],
    ids=range(19),
)
def test_a_table_of_pieces_that_lies_is_refused(tmp_path, root):
    refusal(tmp_path, pickle.dumps(root, 2))


# --- pickles that exhaust the reader ------------------------------------------------------------


def shared_bytes():
    # Pickle writes an object once and refers to it: one block of bytes for many arrays.
    content, kind = bytes(1 << 20), dtype()
    return {f"w{i}": array((1 << 18,), kind, content=content) for i in range(1000)}


def shared_pieces():
    one = np.ones(1 << 17)
    names = [f"w@@.{i}" for i in range(1000)]
    return dict.fromkeys(names, one) | {SPLIT: {"w": piece((1000 << 17,), names)}}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(pickle.dumps(shared_bytes(), 4), id="one block in many arrays"),
        pytest.param(pickle.dumps(shared_bytes(), 2), id="one text in many arrays"),
        pytest.param(pickle.dumps(shared_pieces(), 2), id="one piece many times"),
        pytest.param(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".", id="bytes that lie"),
        pytest.param(b"\x80\x04\x8e" + b"\xff" * 8 + b".", id="bytes without end"),
        pytest.param(b"\x80\x04\x8d" + b"\xff" * 8 + b".", id="text without end"),
        pytest.param(b"\x80\x05\x96" + b"\xff" * 8 + b".", id="a bytearray without end"),
        pytest.param(b"\x80\x02T" + b"\xff" * 4 + b".", id="an old text without end"),
        pytest.param(b"\x80\x02}" + text("k" * 1000) + b"Ns.", id="a key kept in the file"),
        pytest.param(b"\x80\x05\x97.", id="a buffer outside the file"),
        pytest.param(b"\x80\x02NQ.", id="a persistent id"),
        pytest.param(b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b".", id="deep lists"),
        pytest.param(pickle.dumps(nested(100), 4), id="deep dicts"),
        pytest.param(
            b"\x80\x02}(" + text("d") + b"}" + (b"(" + text("d") + b"}") * 5_000 + b"u" * 5_001,
            id="very deep dicts",
        ),
        pytest.param(pickle.dumps({"w": np.ones(3)}, 4) + b"N.", id="a second pickle"),
        pytest.param(pickle.dumps({"w": np.ones(3)}, 4)[:-1], id="no end"),
    ],
)
def test_a_pickle_that_attacks_the_reader_is_refused(tmp_path, content):
    refusal(tmp_path, content, little_memory=True)


def test_long_texts_count_as_containers(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "MAX_CONTAINERS", 1000)
    content = b"\x80\x02" + (text("x" * 513) + b"0") * 2000 + b"}."
    assert "more than 1000 containers" in refusal(tmp_path, content)


# --- damage -------------------------------------------------------------------------------------

STATE = {"w": np.arange(6.0).reshape(2, 3).T, "b": np.arange(3), "Structured@@": {"w": "fc.w_0"}}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_truncated_file_is_refused_at_every_length(tmp_path, protocol):
    good, path = pickle.dumps(STATE, protocol), tmp_path / "short"
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_changed_byte_is_refused_or_read_as_arrays(tmp_path, protocol):
    good, path, dice = pickle.dumps(STATE, protocol), tmp_path / "mutated", random.Random(protocol)
    refused = 0
    for at in range(len(good)):
        content = bytearray(good)
        content[at] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
        try:
            found = read_checkpoint(path)
        except CheckpointError:
            refused += 1
        else:
            assert all(type(array) is np.ndarray for array in found.values())
    assert refused > len(good) // 4
