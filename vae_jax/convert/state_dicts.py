"""Find the state dict inside a checkpoint.

Training scripts save the state dict inside another dict, beside the optimiser's state, an epoch
and perhaps a second set of weights. Nothing is guessed: two sets of weights in one file are an
error that lists them.
"""

from __future__ import annotations

from collections.abc import Iterator

from vae_jax.convert.plain import PlainDict, is_dict
from vae_jax.convert.tensors import Tensor
from vae_jax.errors import CheckpointError

MAX_DEPTH = 16
MAX_DICTS = 10_000
MAX_LISTED = 8


def choose_state_dict(root: object, key: str | None = None) -> dict[str, Tensor]:
    """Find the state dict in a file's contents.

    A dict qualifies if it is not empty and maps strings only to tensors. If there is none, dicts
    with both tensors and other values qualify, without the other values. The state of an
    optimiser (``state`` and ``param_groups``) is skipped.

    Args:
        root: the file's contents.
        key: the dotted path of the dict to take, such as ``"ema"`` or ``"checkpoint.model"``.

    Raises:
        CheckpointError: no dict qualifies, several do, or ``key`` does not exist.

    >>> choose_state_dict({"epoch": 3, "model": {}})
    Traceback (most recent call last):
        ...
    vae_jax.errors.CheckpointError: holds no tensors named by strings (found a dict of \
'epoch', 'model'): expected a state dict; save model.state_dict()
    """
    dicts = dict(_walk(root))
    if key is not None:
        return _at_key(dicts, key)
    whole = {path: found for path, found in dicts.items() if _is_state_dict(found)}
    mixed = {path: found for path, found in dicts.items() if _tensors(found)}
    candidates = whole or mixed
    if not candidates:
        raise CheckpointError(
            f"holds no tensors named by strings (found {_describe(root)}): expected a state dict; "
            "save model.state_dict()"
        )
    if len(candidates) > 1:
        raise CheckpointError(
            f"holds several state dicts: {_list(candidates)}; choose one with key=... "
            "(command line: --key)"
        )
    return _tensors(*candidates.values())


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


def _at_key(dicts: dict[str, PlainDict], key: str) -> dict[str, Tensor]:
    chosen = dicts.get(key)
    if chosen is not None and _tensors(chosen):
        return _tensors(chosen)
    if chosen is not None:
        return choose_state_dict(chosen)
    listed = _list({path: found for path, found in dicts.items() if _tensors(found)})
    raise CheckpointError(f"holds no dict {key[:100]!r}: expected one of {listed or 'none'}")


def _list(dicts: dict[str, PlainDict]) -> str:
    named = [f"{path or '(root)'!r:.120} ({len(_tensors(d))} tensors)" for path, d in dicts.items()]
    more = [f"and {len(named) - MAX_LISTED} more"] if len(named) > MAX_LISTED else []
    return ", ".join(named[:MAX_LISTED] + more)


def _describe(root: object) -> str:
    if type(root) is Tensor:
        return "a single tensor"
    if not is_dict(root):
        return f"a {type(root).__name__}"
    names = ", ".join(f"{key!r:.40}" for key in list(root)[:MAX_LISTED])
    return f"a dict of {names}" if names else "an empty dict"
