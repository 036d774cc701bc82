"""Values that the pickle reader builds besides plain containers; none can run code or hang.

``Construct`` stands for a function that a file may call, ``RecordType`` and ``Record`` for a class
that is never looked up, ``Unfinished`` for an object that gets its contents later, and ``Block``
for bytes too many to copy. ``check_key`` refuses keys that take forever to hash.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast, no_type_check

from vae_jax.convert.plain import PlainDict, is_dict, is_tuple, unchecked

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Construct:
    """A function of ours that stands in for the one that the file calls."""

    build: Callable[..., object]


@dataclass(frozen=True, slots=True)
class RecordType:
    """A class that is never looked up; its instances become inert ``Record`` objects."""

    name: str


@dataclass(eq=False, slots=True)
class Record:
    """An object of a class that is never looked up: only its name and its attributes."""

    name: str
    attributes: PlainDict = field(default_factory=PlainDict)


class Unfinished:
    """An object that a file creates first and fills afterwards."""

    def fill(self, state: object) -> None:
        """Set the object's contents.

        Raises:
            TypeError, ValueError: the contents are malformed.
        """
        raise NotImplementedError


@no_type_check  # a file can hold very many, and the tests' run-time checks are slow
class Block:
    """A long bytes object or text that stays in the file until its bytes are requested.

    They can be requested once, so that a file cannot make many copies of the same bytes.
    """

    def __init__(self, view: memoryview, is_text: bool = False):
        self.view = view
        self.is_text = is_text
        self._used = False

    def content(self) -> memoryview:
        """Return the bytes; for a text one byte per character, as protocol 2 stores bytes.

        Raises:
            ValueError: they were requested before, or a character does not fit a byte.
        """
        if self._used:
            raise ValueError("the bytes of one object are used by another")
        self._used = True
        if not self.is_text:
            return self.view
        decoder = codecs.getincrementaldecoder("utf-8")()
        letters = bytearray()
        # Decode in pieces: one wide character makes a Python string take four bytes per character.
        for start in range(0, len(self.view), _PIECE):
            piece = decoder.decode(self.view[start : start + _PIECE])
            letters += piece.encode("latin1")
        decoder.decode(b"", final=True)
        return memoryview(letters)


@unchecked
def check_key(key: object) -> object:
    """Return ``key`` if it is plain: hashing nested tuples or huge integers can take forever.

    The hashes of tuples can be made to collide, so the caller must limit their number.
    """
    if is_tuple(key):
        for part in key:
            check_simple_key(part)
        return key
    return check_simple_key(key)


@unchecked
def check_simple_key(key: object) -> object:
    """Return ``key`` if it is plain and not a tuple."""
    if type(key) is tuple:
        raise ValueError("a tuple inside a dict key, or as a key where none is expected")
    if type(key) is int:
        if not -(1 << 63) <= key < 1 << 64:
            raise ValueError("a dict key is an integer beyond 64 bits")
    elif key is not None and type(key) not in (str, float, bool, bytes):
        raise ValueError(f"a dict key is a {type(key).__name__}")
    return key


def plain_dict(items: object = ()) -> PlainDict:
    """Return a dict of pairs, or a copy of a dict, after checking its keys."""
    pairs = items.items() if is_dict(items) else cast("Iterable[tuple[object, object]]", items)
    return {check_simple_key(key): value for key, value in pairs}


def latin1_bytes(text: object, encoding: object) -> bytes | Block:
    """Return the bytes that protocol 2 writes as a text; for a long text the block itself."""
    if encoding != "latin1":
        raise TypeError("bytes in an unknown encoding")
    if type(text) is Block and text.is_text:
        return text  # its content() returns the bytes
    if type(text) is not str:
        raise TypeError("bytes that are not made from text")
    return text.encode("latin1")
