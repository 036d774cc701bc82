"""Detect a checkpoint's model by its tensors' names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vae_jax.convert.mapping import ignored_tensors, read_sizes, rules_of
from vae_jax.errors import CheckpointError
from vae_jax.models import MODELS
from vae_jax.typing import Tensors

_MOST_HEADS = 16


def detect_model(path: Path, tensors: Tensors) -> str:
    """Return the name of the model whose tensors a file holds.

    Raises:
        CheckpointError: no model matches, or several do.
    """
    fits = _fits(tensors)
    best = [name for name, left in fits.items() if left == min(fits.values())]
    if len(best) != 1:
        found = ", ".join(list(tensors)[:4]) + (", ..." if len(tensors) > 4 else "")
        raise CheckpointError(
            f"{path} holds {len(tensors)} tensors ({found}) that match "
            f"{'more than one' if best else 'no'} model; name it with --model: "
            f"{', '.join(best or MODELS)}{_hint(tensors)}"
        )
    return best[0]


def has_all_names(tensors: Tensors) -> bool:
    """Return whether the names are exactly those of a model, or of a part of one."""
    return 0 in _fits(tensors).values() or detect_part(tensors) is not None


def _fits(tensors: Tensors) -> dict[str, int]:
    """Return the models all of whose tensors are there, and how many others are."""
    fits: dict[str, int] = {}
    for name in MODELS:
        rules = rules_of(name, **read_sizes(name, tensors))
        if {r.source for r in rules if r.default is None} <= tensors.keys():
            used = {r.source for r in rules} | ignored_tensors(name, tensors).keys()
            fits[name] = len(tensors.keys() - used)
    return fits


def _hint(tensors: Tensors) -> str:
    """Return a hint for names whose first word is before a whole model's, or before all."""
    heads = dict.fromkeys(name.partition(".")[0] for name in tensors)
    if len(heads) == 1 and all("." in name for name in tensors):
        return f" (the prefix {next(iter(heads))}. of all names leaves no model's names either)"
    for head in list(heads)[:_MOST_HEADS]:
        inside = {n[len(head) + 1 :]: t for n, t in tensors.items() if n.startswith(f"{head}.")}
        if has_all_names(inside):
            return f"; those under {head}. are a model's: give --key {head}"
    return ""


def detect_part(names: Iterable[str]) -> str | None:
    """Return the part of a model, such as ``encoder``, that has these tensor names.

    Only models whose parts are saved in separate files have parts; None for any other names.
    """
    found = set(names)
    for name, spec in MODELS.items():
        sources = [rule.source.partition(".") for rule in rules_of(name)]
        for part in spec.reference.parts:
            if found == {rest for head, _, rest in sources if head == part}:
                return part
    return None
