"""Write TensorFlow checkpoints with TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from vae_jax.convert.errors import writing
from vae_jax.convert.files import Arrays, compare_arrays, native
from vae_jax.convert.tensorflow.checkpoint import read_tensorflow
from vae_jax.convert.tensorflow.index import ITEM_BYTES, MAX_NAME
from vae_jax.convert.tensorflow.library import cpu_session, load_tensorflow
from vae_jax.errors import CheckpointError
from vae_jax.files import replacing


def write_tensorflow(prefix: str | os.PathLike[str], tensors: Arrays) -> None:
    """Write named arrays as a checkpoint that a TF1 ``Saver`` of such variables restores.

    The files are written to a hidden folder beside the target, read back, compared bit for bit, and
    moved into place, the index last. If that fails, the old files are restored; if the process is
    killed meanwhile, the prefix has no index, and the old files are in the hidden folder.

    Args:
        prefix: the prefix, such as ``out/train-9`` (or ``out/train-9.index``).
        tensors: variable names to arrays (NumPy or JAX).

    Raises:
        CheckpointError: the arrays or the files cannot be written; an existing checkpoint is left
            unchanged.
        MissingExtraError: TensorFlow is not installed.
    """
    with writing(prefix, Exception):  # TensorFlow has its own error classes
        target = Path(os.path.abspath(os.fspath(prefix).removesuffix(".index")))
        if target.is_dir():
            raise CheckpointError("is a folder: expected a prefix in it, such as train-9")
        if not target.parent.is_dir():
            raise CheckpointError(f"has no folder {str(target.parent)!r}: create it first")
        tf = load_tensorflow("writing a TensorFlow checkpoint")
        arrays = {name: _plain(tf, name, value) for name, value in tensors.items()}
        if not arrays:
            raise CheckpointError("would hold no variables: nothing was written")
        files = [target.with_name(target.name + end) for end in (".data-00000-of-00001", ".index")]
        with replacing(*files) as drafts:
            draft = drafts[1].with_suffix("")
            _save(tf, draft, arrays)
            compare_arrays(read_tensorflow(draft), arrays)


def _plain(tf: ModuleType, name: object, value: object) -> np.ndarray:
    """Return a contiguous array in native byte order; refuse what cannot be read back."""
    if type(name) is not str or not name or len(name.encode()) > MAX_NAME or name[0] == "\0":
        raise CheckpointError(
            f"has the name {name!r:.80}: expected a string, neither empty nor long"
        )
    array = native(value)
    with contextlib.suppress(TypeError):
        if tf.as_dtype(array.dtype).as_datatype_enum in ITEM_BYTES:
            return array
    raise CheckpointError(f"variable {name!r} has dtype {array.dtype}: expected plain numbers")


def _save(tf: ModuleType, prefix: Path, arrays: Mapping[str, np.ndarray]) -> None:
    # A separate graph leaves the caller's TensorFlow, its devices and threads, unchanged.
    with tf.Graph().as_default() as graph:
        values = [tf.compat.v1.placeholder(array.dtype, array.shape) for array in arrays.values()]
        save = tf.raw_ops.SaveV2(
            prefix=os.fspath(prefix),
            tensor_names=list(arrays),
            shape_and_slices=[""] * len(arrays),
            tensors=values,
        )
    with cpu_session(tf, graph) as session:
        session.run(save, dict(zip(values, arrays.values(), strict=True)))
