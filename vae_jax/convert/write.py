"""Write checkpoints that other programs can read, without losing the file they replace.

The new file is written beside the old one, read back with this package's reader, compared bit for
bit and flushed to disk; only then does it replace the old one atomically.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from vae_jax.convert.errors import writing
from vae_jax.convert.files import (
    Arrays,
    NewFile,
    Write,
    compare_arrays,
    plain_arrays,
    replace_files,
)
from vae_jax.convert.paddle.pdparams import write_pdparams
from vae_jax.convert.read import read_as_named
from vae_jax.convert.safetensors import encode_safetensors
from vae_jax.convert.tensorflow.write import write_tensorflow
from vae_jax.convert.torch.write import save_state_dict
from vae_jax.errors import CheckpointError


def write_checkpoint(path: str | os.PathLike[str], tensors: Arrays) -> None:
    """Write named arrays as a checkpoint in the format of the path's suffix.

    ``.safetensors`` and ``.pdparams`` (for ``paddle.load``) need nothing else; ``.pth`` and ``.pt``
    need PyTorch, and hold a plain state dict for ``torch.load(weights_only=True)``; ``.index``
    needs TensorFlow, and writes all files of a checkpoint with that prefix. Arrays keep their dtype
    and shape, NaN payloads included; they become little-endian and contiguous.

    Args:
        path: the file to write or replace.
        tensors: names to arrays (NumPy or JAX).

    Raises:
        CheckpointError: the arrays or the file cannot be written; an existing file is left
            unchanged.
        MissingExtraError: the format needs PyTorch or TensorFlow, which is not installed.
    """
    if Path(path).suffix == ".index":
        write_tensorflow(str(path).removesuffix(".index"), tensors)
        return
    with writing(path):
        suffix = Path(os.path.realpath(path)).suffix
        if suffix not in _FORMATS:
            raise CheckpointError(
                f"has the suffix {suffix!r}: expected one of {', '.join(_FORMATS)}"
            )
        arrays = plain_arrays(tensors)
        write = _FORMATS[suffix](arrays)
    replace_files([NewFile(path, write, partial(check_tensors, arrays=arrays))])


def check_tensors(draft: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise CheckpointError unless a file holds these arrays, bit for bit."""
    compare_arrays(read_as_named(draft), arrays)


_FORMATS: dict[str, Callable[[dict[str, np.ndarray]], Write]] = {
    ".safetensors": lambda arrays: lambda file: file.writelines(encode_safetensors(arrays)),
    ".pth": save_state_dict,
    ".pt": save_state_dict,
    ".pdparams": lambda arrays: lambda file: write_pdparams(arrays, file),
}
