"""Names that wrappers add to a PyTorch model's tensors, removed."""

from __future__ import annotations

from collections.abc import Iterable

from vae_jax.errors import CheckpointError


def strip_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Each name without what ``torch.compile`` and data parallelism put into it.

    ``_orig_mod.`` goes wherever it stands; ``module.`` at the front goes when every name has it.

    Raises:
        CheckpointError: two names would become one.
    """
    parts = {name: [p for p in name.split(".") if p != "_orig_mod"] for name in names}
    while parts and all(len(p) > 1 and p[0] == "module" for p in parts.values()):
        parts = {name: p[1:] for name, p in parts.items()}
    stripped = {name: ".".join(p) for name, p in parts.items()}
    seen: dict[str, str] = {}
    for old, new in stripped.items():
        if new in seen:
            raise CheckpointError(
                f"{seen[new]!r} and {old!r} are both {new!r} once their wrappers' prefixes are "
                "removed; expected each tensor once"
            )
        seen[new] = old
    return stripped
