"""Read the records of an untrusted zip archive as views of the file.

Everything that the archive states twice must agree (central directory, local headers, zip64
records), and records may not overlap. Stored records are returned as views; deflated ones, such as
the code in TorchScript archives, are inflated up to a fixed limit for the whole archive, which
stops zip bombs. CRC-32s are checked. ``torch.serialization.set_crc32_options(False)`` writes zero
for every record, so an archive whose checksums are all zero has none.

Source: PKWARE's APPNOTE.TXT 6.3, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import partial

from vae_jax.convert.errors import damaged
from vae_jax.errors import CheckpointError

_damaged = partial(damaged, "zip archive", "what torch.save or numpy.savez writes")
MAX_RECORDS = 100_000
MAX_INFLATED = 64 << 20

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_FLAGS = 0x0808  # the accepted flags: sizes follow the data; the name is UTF-8


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


class ZipRecords:
    """An archive's checked table of contents, and its records by name."""

    def __init__(self, data: memoryview, writer: str = "torch.save"):
        """Read and check the table of contents.

        Args:
            data: the file's bytes.
            writer: the function that writes such files uncompressed, for messages.

        Raises:
            CheckpointError: the archive is truncated, contradicts itself or is encrypted.
        """
        self._data = data
        self._writer = writer
        try:
            directory, count = self._find_directory()
            entries = self._read_directory(directory, count)
            self._spans = self._find_spans(entries, directory.start)
        except (struct.error, OverflowError, UnicodeDecodeError) as error:
            raise _damaged(str(error)) from error
        self._entries = {entry.name: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise _damaged("two records have the same name")
        self._has_checksums = any(entry.crc for entry in entries)
        self._inflatable = MAX_INFLATED  # bytes left

    @property
    def names(self) -> list[str]:
        """The names of the records, in the archive's order."""
        return list(self._entries)

    def read(self, name: str) -> memoryview:
        """Return the bytes of a record, checked against its CRC-32.

        Raises:
            CheckpointError: the record does not exist or is damaged.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise _damaged(f"record {name!r} is missing")
        content = self._data[self._spans[name]]
        if entry.method == _DEFLATED:
            content = self._inflate(entry, content)
        if self._has_checksums and zlib.crc32(content) != entry.crc:
            raise _damaged(f"record {name!r} does not match its checksum")
        return content

    def is_stored(self, name: str) -> bool:
        """Return whether a record exists and is uncompressed."""
        return name in self._entries and self._entries[name].method == _STORED

    def size(self, name: str) -> int:
        """Return the declared size of a record's content in bytes."""
        return self._entries[name].size

    def _inflate(self, entry: _Entry, packed: memoryview) -> memoryview:
        if entry.size > self._inflatable:
            raise CheckpointError(
                f"its record {entry.name!r} is compressed and declares {entry.size} bytes, more "
                f"than the {MAX_INFLATED >> 20} MiB allowed in all: save it again with "
                f"{self._writer}, which does not compress"
            )
        self._inflatable -= entry.size
        engine = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = engine.decompress(packed, entry.size + 1)
        except zlib.error as error:
            raise _damaged(f"record {entry.name!r}: {error}") from error
        if len(content) != entry.size or not engine.eof:
            raise _damaged(f"record {entry.name!r} does not inflate to the size it declares")
        return memoryview(content)

    def _find_directory(self) -> tuple[range, int]:
        """Return the central directory's position and its number of entries."""
        start = max(0, len(self._data) - _END.size - 0xFFFF)
        at = bytes(self._data[start:]).rfind(b"PK\x05\x06") + start
        if at < start:
            raise _damaged("the table of contents at the end is missing")
        _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(self._data, at)
        if at + _END.size + comment != len(self._data) or disk or first_disk or here != count:
            raise _damaged("its end contradicts itself")
        locator = at - _END64_LOCATOR.size
        if locator >= 0 and bytes(self._data[locator : locator + 4]) == b"PK\x06\x07":
            _, disk, at, disks = _END64_LOCATOR.unpack_from(self._data, locator)
            _, length, _, _, disk64, first64, here, *wide = _END64.unpack_from(self._data, at)
            if at + _END64.size != locator or length != _END64.size - 12:
                raise _damaged("its end contradicts itself")
            for narrow, full, limit in zip(
                (count, size, offset), wide, (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF), strict=True
            ):
                if narrow not in (full, limit):
                    raise _damaged("its end contradicts itself")
            count, size, offset = wide
            if disk or disk64 or first64 or here != count or disks > 1:
                raise _damaged("it is one of several volumes")
        if offset + size != at:
            raise _damaged("the table of contents is not where the end says")
        if count > MAX_RECORDS:
            raise _damaged(f"it declares {count} records, the limit is {MAX_RECORDS}")
        return range(offset, at), count

    def _read_directory(self, directory: range, count: int) -> list[_Entry]:
        entries, at = list[_Entry](), directory.start
        for _ in range(count):
            fields = _CENTRAL.unpack_from(self._data, at)
            signature, _, _, flags, method, _, _, crc, packed, size, *lengths = fields
            name_length, extra_length, comment_length, disk, _, _, offset = lengths
            at += _CENTRAL.size
            name = str(self._data[at : at + name_length], "utf-8")
            extra = bytes(self._data[at + name_length : at + name_length + extra_length])
            at += name_length + extra_length + comment_length
            if signature != b"PK\x01\x02" or at > directory.stop or disk:
                raise _damaged("the table of contents is broken")
            size, packed, offset = _widen(extra, [size, packed, offset])
            if flags & 0x2041:
                raise CheckpointError(f"its record {name!r} is encrypted: unpack it first")
            if flags & ~_FLAGS or method not in (_STORED, _DEFLATED):
                raise _damaged(f"record {name!r} is packed by method {method}, flags {flags:#x}")
            if method == _STORED and packed != size:
                raise _damaged(f"record {name!r} has two sizes, {packed} and {size}")
            entries.append(_Entry(name, flags, method, crc, packed, size, offset))
        if at != directory.stop:
            raise _damaged("the table of contents has another size than it says")
        return entries

    def _find_spans(self, entries: list[_Entry], end: int) -> dict[str, slice]:
        """Return each record's position, after checking local headers and overlaps."""
        spans, free = dict[str, slice](), 0
        for entry in sorted(entries, key=lambda entry: entry.offset):
            if not free <= entry.offset <= end - _LOCAL.size:
                raise _damaged(f"record {entry.name!r} overlaps another or lies outside")
            fields = _LOCAL.unpack_from(self._data, entry.offset)
            signature, _, flags, method, _, _, _, _, _, name_length, extra_length = fields
            start = entry.offset + _LOCAL.size + name_length
            name = bytes(self._data[start - name_length : start])
            start += extra_length
            free = start + entry.packed
            if signature != b"PK\x03\x04" or (flags, method) != (entry.flags, entry.method):
                raise _damaged(f"record {entry.name!r} has no matching header")
            if name != entry.name.encode() or free > end:
                raise _damaged(f"record {entry.name!r} is not where the table of contents says")
            spans[entry.name] = slice(start, free)
        return spans


def _widen(extra: bytes, values: list[int]) -> list[int]:
    """Replace each saturated 32-bit value by the 64-bit one of the zip64 extra field."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, 4))
            return [next(wide, value) if value == 0xFFFFFFFF else value for value in values]
        extra = extra[4 + length :]
    return values
