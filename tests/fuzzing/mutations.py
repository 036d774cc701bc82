"""Damage to bytes: what disks, downloads and people with bad intent do to a file.

All choices come from one ``random.Random``, so that a damaged file can be made again from a seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

MAX_SIZE = 1 << 16
"""Bytes of a damaged file at most: its reader may then not take much memory either."""

_EDGES = 128  # bytes at either end, where formats keep their headers and tables
_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_NUMBERS = (0, 1, -1, 2, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**62)
_NUMBERS += (2**63 - 1, 2**63, -(2**31), -(2**63))
_DECIMALS = (b"0", b"-1", b"1e999", b"NaN", b"0.5", b"2147483648", b"9223372036854775807")
_DECIMALS += (b"18446744073709551616", b"9" * 5000, b"-0", b"1" * 400, b"1000000000000")
_DECIMAL = re.compile(rb"-?[0-9]+")

Mutation = Callable[[Random, bytes, Sequence[bytes], bytes], bytes]
"""From the choices, the bytes, the format's own words and another file to damaged bytes."""


def damage(
    choices: Random, content: bytes, words: Sequence[bytes] = (), other: bytes = b""
) -> bytes:
    """Apply one or more mutations, one after another.

    Args:
        choices: makes all choices.
        content: a real file's bytes.
        words: what the format is made of, to be put where it does not belong.
        other: another file, to be spliced in.
    """
    for _ in range(choices.choice((1, 1, 1, 1, 2, 3, 8))):
        content = choices.choice(MUTATIONS)(choices, content, words, other)[:MAX_SIZE]
    return content


def _place(choices: Random, content: bytes) -> int:
    """Return a position from 0 to the length, as often as not near one of the ends."""
    size = len(content)
    where = choices.randrange(4)
    if where == 0:
        return choices.randrange(min(size, _EDGES) + 1)
    if where == 1:
        return size - choices.randrange(min(size, _EDGES) + 1)
    return choices.randrange(size + 1)


def _span(choices: Random, content: bytes) -> tuple[int, int]:
    start = _place(choices, content)
    length = choices.choice((1, 2, 4, 8, 16, 64, 256, 1024))
    return start, min(len(content), start + length)


def _overwrite(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def _flip_bit(choices, content, words, other):
    at = _place(choices, content)
    bit = 1 << choices.randrange(8)
    return content[:at] + bytes(byte ^ bit for byte in content[at : at + 1]) + content[at + 1 :]


def _set_byte(choices, content, words, other):
    return _overwrite(content, _place(choices, content), bytes([choices.choice(_BYTES)]))


def _set_number(choices, content, words, other):
    size, order = choices.choice((2, 4, 8)), choices.choice(("little", "big"))
    number = choices.choice(_NUMBERS) % (1 << 8 * size)
    return _overwrite(content, _place(choices, content), number.to_bytes(size, order))


def _change_number(choices, content, words, other):
    """Set a number to one more, one less, twice or half of what it was: nearly right."""
    size, order = choices.choice((1, 2, 4, 8)), choices.choice(("little", "big"))
    at = _place(choices, content)
    number = int.from_bytes(content[at : at + size], order)
    number = choices.choice((number + 1, number - 1, number * 2, number // 2))
    return _overwrite(content, at, (number % (1 << 8 * size)).to_bytes(size, order))


def _set_decimal(choices, content, words, other):
    found = list(_DECIMAL.finditer(content[:4096]))
    if not found:
        return content
    match = choices.choice(found)
    return content[: match.start()] + choices.choice(_DECIMALS) + content[match.end() :]


def _truncate(choices, content, words, other):
    return content[: _place(choices, content)]


def _delete(choices, content, words, other):
    start, stop = _span(choices, content)
    return content[:start] + content[stop:]


def _insert(choices, content, words, other):
    at = _place(choices, content)
    new = bytes(choices.randrange(256) for _ in range(choices.choice((1, 2, 4, 16))))
    return content[:at] + new + content[at:]


def _insert_word(choices, content, words, other):
    at = _place(choices, content)
    word = choices.choice(words) if words else b""
    if choices.randrange(2):
        return _overwrite(content, at, word)
    times = min(choices.choice((1, 1, 1, 2, 100, 20_000)), MAX_SIZE // max(len(word), 1))
    return content[:at] + word * times + content[at:]


def _fill(choices, content, words, other):
    start, stop = _span(choices, content)
    return content[:start] + bytes([choices.choice(_BYTES)]) * (stop - start) + content[stop:]


def _repeat(choices, content, words, other):
    start, stop = _span(choices, content)
    return content[:stop] + content[start:stop] * choices.choice((1, 2, 1000)) + content[stop:]


def _swap(choices, content, words, other):
    (a, b), (c, d) = sorted((_span(choices, content), _span(choices, content)))
    if b > c:
        return content
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _splice(choices, content, words, other):
    if not other:
        return content
    return content[: _place(choices, content)] + other[_place(choices, other) :]


MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit,
    _set_byte,
    _set_number,
    _change_number,
    _set_decimal,
    _truncate,
    _delete,
    _insert,
    _insert_word,
    _fill,
    _repeat,
    _swap,
    _splice,
)
"""All kinds of damage."""
