"""Remove the prefixes that PyTorch's wrappers add to tensor names."""

from __future__ import annotations

from collections.abc import Iterable

from vae_jax.errors import CheckpointError


def strip_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Map each name to itself without the prefixes of ``torch.compile`` and data parallelism.

    ``_orig_mod.`` is removed everywhere; a leading ``module.`` only if every name has it.

    Raises:
        CheckpointError: two names would become the same.
    """
    parts = {name: [p for p in name.split(".") if p != "_orig_mod"] for name in names}
    while parts and all(len(p) > 1 and p[0] == "module" for p in parts.values()):
        parts = {name: p[1:] for name, p in parts.items()}
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
