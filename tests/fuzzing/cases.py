"""A damaged case from real ones: which file of it, and whether inside its container."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from .containers import CONTAINERS
from .mutations import damage
from .readers import READERS, Reader, real_cases
from .seed_checkpoints import Case


def numbered_case(name: str, seed: int, number: int) -> Case:
    """Return the input of a reader that has a number."""
    return make_case(READERS[name], real_cases(name), Random(f"{seed} {name} {number}"))


def make_case(reader: Reader, seeds: Sequence[Case], choices: Random) -> Case:
    """Return a real case with one of its files damaged.

    Args:
        reader: whose files they are.
        seeds: real cases.
        choices: makes all choices.
    """
    case, other = dict(choices.choice(seeds)), choices.choice(seeds)
    names = sorted(case)
    name = choices.choice(names)
    kind = choices.randrange(20)
    if kind == 0 and len(names) > 1:
        if choices.randrange(2):
            del case[name]
        else:
            case[name] = case[choices.choice(names)]
        return case
    spliced = other.get(name, b"")
    if reader.container and kind < 12:
        case[name] = _damage_inside(reader, case[name], choices, spliced)
    else:
        case[name] = damage(choices, case[name], reader.words, spliced)
    return case


def _damage_inside(reader: Reader, content: bytes, choices: Random, other: bytes) -> bytes:
    """Damage, remove or replace one part; the container itself is sound."""
    container = CONTAINERS[reader.container]
    parts = container.unpack(content)
    name = choices.choice(sorted(parts))
    kind = choices.randrange(20)
    if kind == 0 and len(parts) > 2:
        del parts[name]
    elif kind == 1:
        parts[name] = parts[choices.choice(sorted(parts))]
    else:
        spliced = container.unpack(other).get(name, b"") if other else b""
        parts[name] = damage(choices, parts[name], reader.words, spliced)
    return container.pack(parts)


def save_case(case: Case, path: Path) -> None:
    """Write a case as a zip archive of its files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTAINERS["zip"].pack(case))


def load_case(path: Path) -> Case:
    """Read what ``save_case`` wrote."""
    return CONTAINERS["zip"].unpack(path.read_bytes())
