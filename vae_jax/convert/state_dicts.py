"""Find the state dict inside a checkpoint.

Training scripts save the state dict inside another dict, beside the optimiser's state, an epoch
and perhaps a second set of weights. Nothing is guessed: two sets of weights in one file are an
error that lists them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TypeVar

from vae_jax.convert.plain import PlainDict, is_dict
from vae_jax.convert.tensors import Tensor
from vae_jax.errors import CheckpointError

MAX_DEPTH = 16
MAX_DICTS = 10_000
MAX_LISTED = 8
_Value = TypeVar("_Value")


def find_state_dicts(root: object, key: str | None = None) -> dict[str, dict[str, Tensor]]:
    """Find the state dicts in a file's contents, by dotted path.

    A dict qualifies if it is not empty and maps strings only to tensors. If there is none, dicts
    with both tensors and other values qualify, without the other values. Where a dict holds
    matrices, one of single numbers or rows (metrics, callbacks, random states) is no set of
    weights. The state of an optimiser (``state`` and ``param_groups``) is skipped.

    Args:
        root: the file's contents.
        key: the dotted path of the dict to take, such as ``"ema"`` or ``"checkpoint.model"``; or
            the beginning of the names to take from a dict, such as ``"vae"``, which is removed.

    Raises:
        CheckpointError: no dict qualifies, or ``key`` does not exist.

    >>> find_state_dicts({"epoch": 3, "model": {}})
    Traceback (most recent call last):
        ...
    vae_jax.errors.CheckpointError: holds no tensors named by strings (found a dict of \
'epoch', 'model'): expected a state dict; save model.state_dict()
    """
    dicts = dict(_walk(root))
    if key is not None:
        return _at_key(dicts, key)
    ranks = {path: _rank(tensors) for path, found in dicts.items() if (tensors := _tensors(found))}
    if not ranks:
        raise CheckpointError(
            f"holds no tensors named by strings (found {_describe(root)}): expected a state dict; "
            "save model.state_dict()"
        )
    best = [path for path, rank in ranks.items() if rank == max(ranks.values())]
    whole = [path for path in best if _is_state_dict(dicts[path])]
    return {path: _tensors(dicts[path]) for path in whole or best}


def only_state_dict(found: Mapping[str, dict[str, _Value]]) -> dict[str, _Value]:
    """Return the only state dict.

    Raises:
        CheckpointError: there are several.
    """
    if len(found) > 1:
        raise CheckpointError(
            f"holds several state dicts: {_list(found)}; choose one with key=... "
            "(command line: --key)"
        )
    return next(iter(found.values()))


def _walk(root: object) -> Iterator[tuple[str, PlainDict]]:
    """Yield once each dict that is reached through dicts with string keys, by dotted path."""
    waiting = [("", root, 0)] if is_dict(root) else []
    seen = {id(root)}
    while waiting:
        path, found, depth = waiting.pop(0)
        if {"state", "param_groups"} <= found.keys():
            continue
        if depth > MAX_DEPTH or len(seen) > MAX_DICTS:
            raise CheckpointError(
                f"nests dicts over {MAX_DEPTH} deep or holds over {MAX_DICTS}: refused; "
                "save only the state dict"
            )
        yield path, found
        for key, value in found.items():
            if is_dict(value) and id(value) not in seen and type(key) is str:
                seen.add(id(value))
                waiting.append((f"{path}.{key[:200]}" if path else key[:200], value, depth + 1))


def _is_state_dict(found: PlainDict) -> bool:
    return bool(found) and len(_tensors(found)) == len(found)


def _tensors(found: PlainDict) -> dict[str, Tensor]:
    return {key: v for key, v in found.items() if type(key) is str and type(v) is Tensor}


def _rank(tensors: dict[str, Tensor]) -> int:
    """Return 2 for a dict with matrices, 1 for one with rows of numbers, else 0."""
    real = [t for t in tensors.values() if t.dtype.kind not in "iub" and math.prod(t.shape) > 1]
    return max((min(len(tensor.shape), 2) for tensor in real), default=0)


def _at_key(dicts: dict[str, PlainDict], key: str) -> dict[str, dict[str, Tensor]]:
    chosen = dicts.get(key)
    if chosen is not None and _tensors(chosen):
        return {key: _tensors(chosen)}
    if chosen is not None:
        inside = find_state_dicts(chosen)
        return {f"{key}.{path}" if path else key: tensors for path, tensors in inside.items()}
    begun = [sub for path, found in dicts.items() if (sub := _beginning(path, found, key))]
    if len(begun) == 1:
        return {key: begun[0]}
    listed = _list({path: found for path, d in dicts.items() if (found := _tensors(d))})
    raise CheckpointError(f"holds no dict {key[:100]!r}: expected one of {listed or 'none'}")


def _beginning(path: str, found: PlainDict, key: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a key, which may itself begin with the path."""
    start = key.removeprefix(f"{path}.") + "."
    return {n.removeprefix(start): t for n, t in _tensors(found).items() if n.startswith(start)}


def _list(dicts: Mapping[str, Mapping[str, object]]) -> str:
    named = [f"{path or '(root)'!r:.120} ({len(found)} tensors)" for path, found in dicts.items()]
    more = [f"and {len(named) - MAX_LISTED} more"] if len(named) > MAX_LISTED else []
    return ", ".join(named[:MAX_LISTED] + more)


def _describe(root: object) -> str:
    if type(root) is Tensor:
        return "a single tensor"
    if not is_dict(root):
        return f"a {type(root).__name__}"
    names = ", ".join(f"{key!r:.40}" for key in list(root)[:MAX_LISTED])
    return f"a dict of {names}" if names else "an empty dict"
