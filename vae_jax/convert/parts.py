"""Models saved in parts, such as an encoder and a decoder in separate files.

A part's file names its tensors without the part (``conv1.weight``), the whole model with it
(``encoder.conv1.weight``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vae_jax.errors import CheckpointError


def join_parts(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the tensors of all parts, adding each part's name as a prefix.

    >>> list(join_parts({"encoder": {"fc.bias": np.ones(1)}, "decoder": {"fc.bias": np.ones(2)}}))
    ['encoder.fc.bias', 'decoder.fc.bias']
    """
    return {
        f"{part}.{name}": array
        for part, tensors in parts.items()
        for name, array in tensors.items()
    }


def split_parts(
    tensors: Mapping[str, np.ndarray], parts: Sequence[str] = ("encoder", "decoder")
) -> dict[str, dict[str, np.ndarray]]:
    """Split tensors by part, removing the part's name.

    Raises:
        CheckpointError: a tensor belongs to none of the parts.
    """
    found: dict[str, dict[str, np.ndarray]] = {part: {} for part in parts}
    for name, array in tensors.items():
        part, dot, rest = name.partition(".")
        if part not in found or not dot or not rest:
            raise CheckpointError(
                f"tensor {name!r} belongs to no part of the model: expected a name that begins "
                f"with one of {', '.join(f'{part}.' for part in parts)}"
            )
        found[part][rest] = array
    return found


def sibling(path: Path, part: str, other: str) -> Path | None:
    """Return the path of another part's file beside a part's file, whether or not it exists.

    Replaces the last ``part`` in the file's name; None if the name does not contain it.

    >>> sibling(Path("encoders/A_encoder_False.pdparams"), "encoder", "decoder").as_posix()
    'encoders/A_decoder_False.pdparams'
    """
    before, found, after = path.name.rpartition(part)
    return path.with_name(f"{before}{other}{after}") if found else None
