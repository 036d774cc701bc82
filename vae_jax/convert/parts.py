"""A model saved in parts, such as an encoder and a decoder in files of their own.

Each file names its tensors from its own part on (``conv1.weight``); the whole model puts the part's
name before them (``encoder.conv1.weight``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vae_jax.errors import CheckpointError


def join_parts(parts: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The tensors of all parts, each named with its part before it.

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
    """The tensors of each part, under the names that they have in it.

    Raises:
        CheckpointError: a tensor is of none of the parts.
    """
    found: dict[str, dict[str, np.ndarray]] = {part: {} for part in parts}
    for name, array in tensors.items():
        part, dot, rest = name.partition(".")
        if part not in found or not dot or not rest:
            raise CheckpointError(
                f"tensor {name!r} is of no part of the model: expected a name that begins with "
                f"one of {', '.join(f'{part}.' for part in parts)}"
            )
        found[part][rest] = array
    return found


def sibling(path: Path, part: str, other: str) -> Path | None:
    """The path of another part beside the file of one part, whether or not it exists.

    The last `part` in the file's name is replaced; None if there is none.

    >>> sibling(Path("encoders/A_encoder_False.pdparams"), "encoder", "decoder").as_posix()
    'encoders/A_decoder_False.pdparams'
    """
    before, found, after = path.name.rpartition(part)
    return path.with_name(f"{before}{other}{after}") if found else None
