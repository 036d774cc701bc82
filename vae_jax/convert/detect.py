"""Detect a checkpoint's model by its tensors' names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vae_jax.convert.mapping import ignored_tensors, read_sizes, rules_of
from vae_jax.errors import CheckpointError
from vae_jax.models import MODELS
from vae_jax.typing import Tensors


def detect_model(path: Path, tensors: Tensors) -> str:
    """Return the name of the model whose tensors a file holds.

    Raises:
        CheckpointError: no model matches, or several do.
    """
    fits: dict[str, int] = {}  # model -> number of its tensors that would be left over
    for name in MODELS:
        rules = rules_of(name, **read_sizes(name, tensors))
        if {r.source for r in rules if r.default is None} <= tensors.keys():
            used = {r.source for r in rules} | ignored_tensors(name, tensors).keys()
            fits[name] = len(tensors.keys() - used)
    best = [name for name, left in fits.items() if left == min(fits.values())]
    if len(best) != 1:
        found = ", ".join(list(tensors)[:4]) + (", ..." if len(tensors) > 4 else "")
        raise CheckpointError(
            f"{path} holds {len(tensors)} tensors ({found}) that match "
            f"{'more than one' if best else 'no'} model; name it with --model: "
            f"{', '.join(best or MODELS)}"
        )
    return best[0]


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
