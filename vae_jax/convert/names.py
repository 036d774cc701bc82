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
    stripped = {name: name.replace("_orig_mod.", "") for name in names}
    while stripped and all(name.startswith("module.") for name in stripped.values()):
        stripped = {old: new.removeprefix("module.") for old, new in stripped.items()}
        stripped = {old: new.replace("_orig_mod.", "") for old, new in stripped.items()}
    seen: dict[str, str] = {}
    for old, new in stripped.items():
        if new in seen:
            raise CheckpointError(
                f"{seen[new]!r} and {old!r} are both {new!r} once their wrappers' prefixes are "
                "removed; expected each tensor once"
            )
        seen[new] = old
    return stripped
