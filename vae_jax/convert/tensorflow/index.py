"""Check the index of a TensorFlow checkpoint against its data files, without TensorFlow.

TensorFlow aborts the whole process at an impossible entry, so every length, position and shape is
checked against the files before TensorFlow sees them.

Source: TensorFlow's ``tensor_bundle.proto``; LevelDB's ``table_format.md``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vae_jax.convert.strangers import V1
from vae_jax.errors import CheckpointError

_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
ITEM_BYTES = {
    **{1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 8: 8, 9: 8, 10: 1, 14: 2, 17: 2, 18: 16, 19: 2},
    **{22: 4, 23: 8, 24: 1, 25: 1},
}
"""TensorFlow's dtype numbers to bytes per element."""
_NOT_NUMBERS = (7, 20, 21)  # string, resource, variant
# Protobuf tags (field number and wire type) of the header, an entry and a shape.
_HEADER = {0x08: "shards", 0x10: "endianness", 0x1A: "version"}
_PLACE = {0x18: "shard", 0x20: "offset", 0x28: "size", 0x35: "crc"}
_ENTRY = {0x08: "dtype", 0x12: "shape", 0x3A: "slices", **_PLACE}
_SHAPE, _AXIS = {0x12: "axes"}, {0x08: "length"}
_REPEATED = ("axes", "slices")
_MAX_INDEX, _MAX_TENSORS, MAX_NAME, _MAX_ENTRY, _MAX_AXES = 1 << 26, 100_000, 1000, 10_000, 64
AGAIN = "copy or save all files of the checkpoint again"
_DAMAGED = f"has an index that is damaged or not TensorFlow's: {AGAIN}"


def numeric_variables(prefix: str) -> list[str]:
    """Check every entry of the index against the files, and return the numeric variables."""
    entries = _read_index(f"{prefix}.index")
    count = _fields(entries.pop(b"", b""), _HEADER).numbers.get("shards", 0)
    if not 0 < count < 100_000:
        raise CheckpointError(_DAMAGED)
    files = [f"{prefix}.data-{i:05}-of-{count:05}" for i in range(count)]
    missing = [os.path.basename(file) for file in files if not os.path.isfile(file)]
    if missing:
        raise CheckpointError(
            f"lacks {len(missing)} of its {count} data files: expected {missing[0]} beside the "
            "index; copy it there"
        )
    sizes = [os.path.getsize(file) for file in files]
    names, total = list[str](), 0
    for key, message in entries.items():
        entry = _fields(message, _ENTRY)
        if key[:1] == b"\0" or "slices" in entry.messages:
            raise CheckpointError("has a partitioned variable: save it again without a partitioner")
        axes = _fields(entry.messages.get("shape", [b""])[0], _SHAPE).messages.get("axes", [])
        shape = [_fields(axis, _AXIS).numbers.get("length", 0) for axis in axes]
        # TensorFlow multiplies the lengths from the left, and aborts if that overflows.
        if len(shape) > _MAX_AXES or math.prod(max(length, 1) for length in shape) >= 1 << 63:
            raise CheckpointError(f"has a variable of the impossible shape {shape!s:.80}: {AGAIN}")
        name = key.decode()
        dtype, shard, offset, size = (
            entry.numbers.get(field, 0) for field in ("dtype", "shard", "offset", "size")
        )
        if shard >= len(files):
            raise CheckpointError(_DAMAGED)
        if offset + size > sizes[shard]:
            raise CheckpointError(
                f"has a data file {os.path.basename(files[shard])} of {sizes[shard]} bytes, "
                f"expected {offset + size} or more: it is truncated; copy it again"
            )
        if dtype in _NOT_NUMBERS:
            continue
        if dtype not in ITEM_BYTES:
            raise CheckpointError(f"has {name!r} of TensorFlow's type {dtype}: expected numbers")
        total += size
        if math.prod(shape) * ITEM_BYTES[dtype] != size or total > sum(sizes):
            raise CheckpointError(f"has {size} bytes for {name!r} of shape {shape}: {AGAIN}")
        names.append(name)
    if not names:
        raise CheckpointError("holds no variables with numbers")
    return names


def _read_index(path: str) -> dict[bytes, bytes]:
    """Return the index's keys, in order, and their messages."""
    if not os.path.isfile(path):
        if os.path.isfile(path.removesuffix(".index")):
            raise CheckpointError(V1)
        raise CheckpointError(f"lacks {os.path.basename(path)}, its index: copy it there")
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        data = memoryview(file.read(size) if size <= _MAX_INDEX else b"")
    if len(data) < _FOOTER or bytes(data[-len(_MAGIC) :]) != _MAGIC:
        raise CheckpointError(
            f"has an index of {size} bytes without TensorFlow's footer: it is truncated or not "
            f"TensorFlow's; {AGAIN}"
        )
    (_, _, *handle), _ = _varints(data, len(data) - _FOOTER, 4)
    entries: dict[bytes, bytes] = {}
    last = None
    for _, place in _block(data, *handle):
        for key, message in _block(data, *_varints(place, 0, 2)[0]):
            if len(entries) == _MAX_TENSORS or (last is not None and key <= last):
                raise CheckpointError(_DAMAGED)
            entries[key], last = message, key
    return entries


def _block(data: memoryview, begin: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield a block's keys, each of which may share a prefix with the one before, and values."""
    block = data[begin : begin + size]
    if len(block) < 4 or data[begin + size] != 0:  # the byte after it names its compression
        raise CheckpointError(_DAMAGED)
    count = int.from_bytes(block[-4:], "little")
    end = size - 4 - 4 * count
    key, at, whole = b"", 0, set[int]()
    while at < end:
        start = at
        (shared, own, length), at = _varints(block, at, 3)
        value = at + own
        if shared > len(key) or shared + own > MAX_NAME or length > _MAX_ENTRY:
            raise CheckpointError(_DAMAGED)
        if shared == 0:
            whole.add(start)
        key = key[:shared] + bytes(block[at:value])
        at = value + length
        yield key, bytes(block[value:at])
    if at != end or not 0 < count <= len(whole):
        raise CheckpointError(_DAMAGED)
    # TensorFlow searches from these restart points, so each must be one of the whole keys.
    starts = {int.from_bytes(block[i : i + 4], "little") for i in range(end, size - 4, 4)}
    if not starts <= whole:
        raise CheckpointError(_DAMAGED)


class _Fields(NamedTuple):
    numbers: dict[str, int]
    messages: dict[str, list[bytes]]


def _fields(message: bytes, known: Mapping[int, str]) -> _Fields:
    """Return a protobuf's fields, all of which must be known."""
    fields = _Fields({}, {})
    at = 0
    while at < len(message):
        (tag,), at = _varints(message, at, 1)
        name = known.get(tag, "")
        is_new = name not in fields.numbers and name not in fields.messages
        if tag & 7 == 0:
            (fields.numbers[name],), at = _varints(message, at, 1)
        else:
            (size,), at = ([4], at) if tag & 7 == 5 else _varints(message, at, 1)
            fields.messages.setdefault(name, []).append(message[at : at + size])
            at += size
        if at > len(message) or not name or not (is_new or name in _REPEATED):
            raise CheckpointError(_DAMAGED)
    return fields


def _varints(data: bytes | memoryview, at: int, count: int) -> tuple[list[int], int]:
    """Return numbers stored as 7 bits per byte, the lowest first, and where they end."""
    numbers: list[int] = []
    for _ in range(count):
        number = shift = 0
        while data[at] > 127:
            number |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
        if shift > 63:
            raise CheckpointError(_DAMAGED)
        numbers.append(number | data[at] << shift)
        at += 1
    return numbers, at
