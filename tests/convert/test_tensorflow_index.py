"""Indexes that no TensorFlow writes, with the checksums right: refused without TensorFlow."""

import os
import resource
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from hostile import one_line

from vae_jax.convert.tensorflow.checkpoint import read_tensorflow
from vae_jax.errors import CheckpointError

DATA = ".data-00000-of-00001"
VALUES = np.arange(1, 5, dtype=np.float32)


def varint(number):
    number &= (1 << 64) - 1
    low = b""
    while number > 127:
        low, number = low + bytes([number & 127 | 128]), number >> 7
    return low + bytes([number])


def message(*fields):
    """A protobuf of (field number, number or bytes)."""
    parts = []
    for number, value in fields:
        if isinstance(value, bytes):
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
        else:
            parts.append(varint(number << 3) + varint(value))
    return b"".join(parts)


def checksum(data):
    """CRC-32C, masked as in the files."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def block(items, starts=None):
    body, whole = b"", []
    for key, value in items:
        whole.append(len(body))
        body += varint(0) + varint(len(key)) + varint(len(value)) + key + value
    starts = whole if starts is None else starts
    return body + struct.pack(f"<{len(starts) + 1}I", *starts, len(starts))


def table(items, starts=None):
    """An index file with these keys and values."""
    parts, handles = b"", []

    def put(content):
        nonlocal parts
        handle = varint(len(parts)) + varint(len(content))
        parts += content + b"\0" + checksum(content + b"\0")
        return handle

    data, nothing = put(block(items, starts)), put(block([]))
    handles = nothing + put(block([(b"\xff" * 8, data)]))
    return parts + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


HEADER = message((1, 1), (3, message((1, 1))))


def entry(dtype=1, shape=(4,), size=16, shard=0, offset=0, more=b""):
    axes = message(*[(2, message((1, length))) for length in shape])
    numbers = message((1, dtype), (2, axes), (3, shard), (4, offset), (5, size))
    return numbers + varint(6 << 3 | 5) + checksum(VALUES.tobytes()) + more


def slices(begin, length):
    return message((7, message((1, message((1, begin), (2, length))))))


HOSTILE = {
    "a negative size": (entry(shape=[-4]), "impossible shape"),
    "a shape that overflows": (entry(shape=[1 << 40, 1 << 40]), "impossible shape"),
    "one that overflows before a zero": (entry(shape=[1 << 62, 4, 0], size=0), "impossible"),
    "one of a string that overflows": (entry(7, [1 << 62, 4]), "impossible shape"),
    "too many axes": (entry(shape=[1] * 300, size=4), "impossible shape"),
    "four terabytes": (entry(shape=[1 << 40]), r"16 bytes for 'w' of shape \[1099511627776\]"),
    "four honest terabytes": (entry(shape=[1 << 40], size=1 << 42), "truncated"),
    "another data file": (entry(shard=7), "damaged"),
    "a negative data file": (entry(shard=-1), "damaged"),
    "an offset outside": (entry(offset=8), "truncated"),
    "a negative offset": (entry(offset=-8), "truncated"),
    "no dtype": (entry(0), "type 0"),
    "an unknown dtype": (entry(99), "type 99"),
    "a reference": (entry(101), "type 101"),
    "quantised numbers": (entry(11, [16]), "type 11"),
    "only strings": (entry(7), "no variables with numbers"),
    "only resources": (entry(20), "no variables with numbers"),
    "slices": (entry(more=slices(0, 4)), "partitioned"),
    "negative slices": (entry(more=slices(-3, -9)), "partitioned"),
    "no protobuf": (b"\xff\xff\xff\xff", "cannot be read"),
    "a field too long": (message((2, b""))[:-1] + b"\x7f", "damaged"),
    "an axis too long": (message((1, 1), (2, b"\x12\x22\x08\x04"), (5, 16)), "damaged"),
    "an unknown field": (entry(more=message((9, 1))), "damaged"),
    "two shapes": (entry(more=message((2, b""))), "damaged"),
    "an unknown rank": (message((1, 1), (2, message((3, 1))), (5, 4)), "damaged"),
}


def hostile(tmp_path, index):
    (tmp_path / "a.index").write_bytes(index)
    (tmp_path / f"a{DATA}").write_bytes(VALUES.tobytes())
    return tmp_path / "a"


@pytest.mark.tensorflow
def test_the_index_built_here_is_tensorflows(tmp_path):
    path = hostile(tmp_path, table([(b"", HEADER), (b"w", entry())]))
    np.testing.assert_array_equal(read_tensorflow(path)["w"], VALUES)


@pytest.mark.parametrize("name", HOSTILE)
def test_an_impossible_entry_is_refused_without_tensorflow_and_memory(tmp_path, monkeypatch, name):
    content, expected = HOSTILE[name]
    path = hostile(tmp_path, table([(b"", HEADER), (b"w", content)]))
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # it would end the process
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=expected):
        read_tensorflow(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    one_line(path, read_tensorflow, longest=600)


@pytest.mark.parametrize(
    ("items", "starts"),
    [
        ([], []),
        ([(b"w", entry())], None),
        ([(b"", b""), (b"w", entry())], None),
        ([(b"", message((1, 0))), (b"w", entry())], None),
        ([(b"", message((1, -1))), (b"w", entry())], None),
        ([(b"", HEADER), (b"w", entry()), (b"w", entry())], None),
        ([(b"", HEADER), (b"w", entry()), (b"v", entry())], None),
        ([(b"", HEADER), (b"w" * 2000, entry())], None),
        ([(b"", HEADER), (b"w", entry())], [0, 11]),
        ([(b"", HEADER), (b"w", entry())], []),
        ([(b"", HEADER), (b"w", entry())], [0] * 99),
    ],
)
def test_an_impossible_table_is_refused_without_tensorflow(tmp_path, monkeypatch, items, starts):
    path = hostile(tmp_path, table(items, starts))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert "has an index that is damaged" in one_line(path, read_tensorflow, longest=600)


def test_many_variables_that_share_their_bytes_are_refused(tmp_path, monkeypatch):
    items = [(b"%05d" % i, entry()) for i in range(50)]
    path = hostile(tmp_path, table([(b"", HEADER), *items]))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert "has 16 bytes for '00001'" in one_line(path, read_tensorflow, longest=600)


@pytest.mark.tensorflow
def test_a_wrong_checksum_is_refused(tmp_path):
    wrong = entry().replace(checksum(VALUES.tobytes()), b"1234")
    path = hostile(tmp_path, table([(b"", HEADER), (b"w", wrong)]))
    assert "Checksum does not match" in one_line(path, read_tensorflow, longest=600)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    path = hostile(tmp_path, table([(b"", HEADER), (b"\xff", entry())]))
    assert "UnicodeDecodeError" in one_line(path, read_tensorflow, longest=600)


def test_an_index_of_endless_zeros_is_refused_unread(tmp_path):
    path = hostile(tmp_path, b"")
    os.truncate(tmp_path / "a.index", 1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "has an index of" in one_line(path, read_tensorflow, longest=600)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
