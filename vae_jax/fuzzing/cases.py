"""A damaged case from real ones: which file of it, and whether inside its container."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from vae_jax.fuzzing.containers import CONTAINERS
from vae_jax.fuzzing.mutations import Choices, damage
from vae_jax.fuzzing.readers import READERS, Reader
from vae_jax.fuzzing.seeds import Case


@functools.cache
def real_cases(name: str) -> list[Case]:
    """The real files of a reader, made once."""
    return list(READERS[name].seeds())


def make_case(reader: Reader, seeds: Sequence[Case], choices: Choices) -> Case:
    """A real case with one of its files damaged.

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


def _damage_inside(reader: Reader, content: bytes, choices: Choices, other: bytes) -> bytes:
    """One part damaged, removed, or put in another's place; the container itself is sound."""
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
