"""Containers taken apart and put together again with right lengths and checksums.

Damage to a container as a whole seldom gets past its checksum. Damage to what is inside does, once
the container around it is made whole again.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_ITEM_SIZES = {"F64": 8, "F32": 4, "I64": 8, "U8": 1}  # safetensors' names of types


class Container(NamedTuple):
    """A format that holds parts.

    Attributes:
        unpack: from the file's bytes to its parts, in order.
        pack: the inverse, for parts of any bytes.
    """

    unpack: Callable[[bytes], dict[str, bytes]]
    pack: Callable[[Mapping[str, bytes]], bytes]


def _unpack_zip(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack_zip(parts: Mapping[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    return buffer.getvalue()


def _unpack_safetensors(content: bytes) -> dict[str, bytes]:
    start = 8 + int.from_bytes(content[:8], "little")
    return {"header": content[8:start], "values": content[start:]}


def _pack_safetensors(parts: Mapping[str, bytes]) -> bytes:
    return struct.pack("<Q", len(parts["header"])) + parts["header"] + parts["values"]


def _unpack_arrays(content: bytes) -> dict[str, bytes]:
    """Arrays of one axis in safetensors, each under its name and type."""
    header, values = _unpack_safetensors(content).values()
    return {
        f"{name} {entry['dtype']}": values[slice(*entry["data_offsets"])]
        for name, entry in json.loads(header).items()
        if name != "__metadata__"
    }


def _pack_arrays(parts: Mapping[str, bytes]) -> bytes:
    header, values = {}, b""
    for label, part in parts.items():
        name, _, kind = label.rpartition(" ")
        count = len(part) // _ITEM_SIZES[kind]
        begin, values = len(values), values + part[: count * _ITEM_SIZES[kind]]
        header[name] = {"dtype": kind, "shape": [count], "data_offsets": [begin, len(values)]}
    return _pack_safetensors({"header": json.dumps(header).encode(), "values": values})


def _unpack_png(content: bytes) -> dict[str, bytes]:
    parts, at = {}, len(_PNG)
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        kind = content[at + 4 : at + 8].decode("ascii")
        # The pixels are unpacked as well: damage to the compressed ones fails their own checksum.
        body = content[at + 8 : at + 8 + size]
        parts[f"{len(parts)} {kind}"] = zlib.decompress(body) if kind == "IDAT" else body
        at += 12 + size
    return parts


def _pack_png(parts: Mapping[str, bytes]) -> bytes:
    content = _PNG
    for name, part in parts.items():
        kind = name.partition(" ")[2].encode("ascii")
        body = zlib.compress(part) if kind == b"IDAT" else part
        crc = zlib.crc32(kind + body)
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    return content


CONTAINERS: dict[str, Container] = {
    "zip": Container(_unpack_zip, _pack_zip),
    "gzip": Container(
        lambda content: {"content": gzip.decompress(content)},
        lambda parts: gzip.compress(parts["content"], mtime=0),
    ),
    "safetensors": Container(_unpack_safetensors, _pack_safetensors),
    "arrays": Container(_unpack_arrays, _pack_arrays),
    "png": Container(_unpack_png, _pack_png),
}
"""The containers, by name."""
