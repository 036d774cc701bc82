"""Remove the prefixes that PyTorch's wrappers add to tensor names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vae_jax.errors import CheckpointError

AVERAGED = "n_averaged"
"""The counter that ``torch.optim.swa_utils.AveragedModel`` keeps beside the names under module."""
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_MAX_PREFIXES = 6


def strip_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Map each name to itself without the prefixes of ``torch.compile`` and data parallelism.

    ``_orig_mod.`` and the wrappers of FSDP are removed everywhere; a leading ``module.`` only if
    every name has it, but for ``n_averaged`` of an averaged model.

    Raises:
        CheckpointError: two names would become the same.
    """
    parts = {name: [p for p in name.split(".") if p not in _WRAPPERS] for name in names}
    while any(p != [AVERAGED] for p in parts.values()) and all(
        p == [AVERAGED] or (len(p) > 1 and p[0] == "module") for p in parts.values()
    ):
        parts = {name: p if p == [AVERAGED] else p[1:] for name, p in parts.items()}
    stripped = {name: ".".join(p) for name, p in parts.items()}
    seen: dict[str, str] = {}
    for old, new in stripped.items():
        if new in seen:
            raise CheckpointError(
                f"{seen[new]!r} and {old!r} are both {new!r} without their wrappers' prefixes; "
                "expected each tensor once"
            )
        seen[new] = old
    return stripped


def strip_prefixes(names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the names without wrappers, then without one more prefix that all names share.

    Each is followed by its form without ``module.`` inside, from parts that are data parallel.
    """
    current = strip_wrappers(names)
    for _ in range(_MAX_PREFIXES):
        yield current
        plain = {o: ".".join(p for p in n.split(".") if p != "module") for o, n in current.items()}
        if plain != current and len(set(plain.values())) == len(plain):
            yield plain
        named = [new for new in current.values() if new != AVERAGED]
        heads = {new.partition(".")[0] for new in named}
        if len(heads) != 1 or not all(new.partition(".")[2] for new in named):
            return
        shorter = {o: n if n == AVERAGED else n.partition(".")[2] for o, n in current.items()}
        bare = strip_wrappers(shorter.values())
        current = {old: bare[new] for old, new in shorter.items()}
