"""What a pickle is made of here, besides plain containers: nothing that can run or hang.

`Construct` stands for a function a file may call, `RecordType` and `Record` for a class that is
never looked up, and `check_key` keeps out keys that a dict could hash for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, no_type_check


@dataclass(frozen=True, slots=True)
class Construct:
    """What a file may call: our own function, standing in for the one that the file names."""

    build: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class RecordType:
    """A class that is never looked up: its instances become inert `Record` objects."""

    name: str


@dataclass(eq=False, slots=True)
class Record:
    """An object of an unknown class: the class's name, and the attributes the file gives it."""

    name: str
    attributes: dict[Any, Any] = field(default_factory=dict)


@no_type_check
def check_key(key: Any) -> Any:
    """Return `key` if it is plain: hashing nested tuples or huge integers can take for ever."""
    if type(key) is tuple:
        for part in key:
            if type(part) is tuple:
                raise ValueError("a dict key is a nested tuple")
            check_key(part)
    elif type(key) is int:
        if not -(1 << 63) <= key < 1 << 64:
            raise ValueError("a dict key is an integer beyond 64 bits")
    elif key is not None and type(key) not in (str, float, bool, bytes):
        raise ValueError(f"a dict key is a {type(key).__name__}")
    return key
