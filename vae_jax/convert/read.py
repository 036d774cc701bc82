"""Read a checkpoint file of any supported format into NumPy arrays, safely and without frameworks.

The format is detected by the content, never by the name. The file is memory-mapped and the arrays
are views of it where possible, so that no size stated in a file causes an allocation. To add a
format, add a row to ``_FORMATS``: a test of its first bytes, and a function from the file's bytes
to containers with ``Tensor`` leaves.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import stat
from collections.abc import Callable, Generator

import numpy as np

from vae_jax.convert.errors import reading
from vae_jax.convert.names import strip_wrappers
from vae_jax.convert.npz import is_npz, read_npz
from vae_jax.convert.paddle.pdparams import parameter_names, read_pdparams
from vae_jax.convert.safetensors import read_safetensors
from vae_jax.convert.shards import ShardIndex, is_index, read_index, read_shards
from vae_jax.convert.state_dicts import find_state_dicts, only_state_dict
from vae_jax.convert.strangers import is_text, name_folder, name_stranger
from vae_jax.convert.tensorflow.checkpoint import checkpoint_prefix, read_tensorflow
from vae_jax.convert.torch.legacy import MAGIC_BYTES, read_torch_legacy
from vae_jax.convert.torch.zip import read_torch_zip
from vae_jax.errors import CheckpointError
from vae_jax.files import explain_errors

Reader = Callable[[memoryview], object]
_HEAD = 512
# Tensors that share or repeat bytes may take this many times the file's size, plus this many bytes.
MAX_TIMES = 8
MAX_REPEATED_BYTES = 32 << 20


def read_checkpoint(
    path: str | os.PathLike[str], *, key: str | None = None
) -> dict[str, np.ndarray]:
    """Read a checkpoint: PyTorch, TorchScript, Paddle, safetensors, NumPy's .npz or TensorFlow.

    No code in the file is run, and neither PyTorch nor Paddle is needed (TensorFlow is, for its
    own checkpoints). Prefixes of ``torch.compile`` and ``DataParallel`` are removed from the names.

    Args:
        path: the file; for a TensorFlow checkpoint the prefix, one of its files, or the folder.
        key: the dotted path of the state dict in a training checkpoint that holds several.

    Returns:
        The file's tensor names to read-only arrays with the file's dtypes and shapes (bfloat16
        and float8 from ml_dtypes), views of the mapped file where possible.

    Raises:
        CheckpointError: the file is unreadable, damaged, hostile or of an unknown format.
        MissingExtraError: a TensorFlow checkpoint needs TensorFlow, which is not installed.
    """
    if checkpoint_prefix(path) is not None:
        with reading(path):
            if key is not None:
                raise CheckpointError(
                    f"is a TensorFlow checkpoint and has no dict {key!r}: leave out key"
                )
        return read_tensorflow(path)
    with reading(path):
        tensors = read_as_named(path, key=key)
        return {bare: tensors[name] for name, bare in strip_wrappers(tensors).items()}


def read_as_named(path: str | os.PathLike[str], *, key: str | None = None) -> dict[str, np.ndarray]:
    """Read a file like ``read_checkpoint``, but keep the file's names unchanged.

    Raises:
        CheckpointError: as in ``read_checkpoint``, without the path.
    """
    return only_state_dict(read_state_dicts(path, key=key))


def read_state_dicts(
    path: str | os.PathLike[str], *, key: str | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Read all state dicts of a file that may be meant, by dotted path, with the file's names.

    Raises:
        CheckpointError: as in ``read_checkpoint``, without the path.
    """
    with _opened(path) as (data, reader):
        root = reader(data)
        if type(root) is not ShardIndex:
            return _arrays(root, key, len(data))
        if key is not None:
            raise CheckpointError(f"is an index and has no dict {key[:100]!r}: leave out key")
        return {"": read_shards(path, root, _read_shard)}


def _read_shard(path: str) -> dict[str, np.ndarray]:
    with _opened(path) as (data, reader):
        return only_state_dict(_arrays(reader(data), None, len(data)))


def _arrays(root: object, key: str | None, length: int) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of the state dicts in a file of this many bytes."""
    dicts = find_state_dicts(root, key)
    # A copy takes the tensors' stated size, which can be far more than the file's.
    tensors = [tensor for found in dicts.values() for tensor in found.values()]
    size = sum(math.prod(tensor.shape) * tensor.dtype.itemsize for tensor in tensors)
    if size > MAX_REPEATED_BYTES + MAX_TIMES * length:
        raise CheckpointError(
            f"has {length} bytes, but its tensors repeat them to {size}: refused; save clones of "
            "the tensors"
        )
    return {
        title: {name: tensor.array() for name, tensor in found.items()}
        for title, found in dicts.items()
    }


def read_root(path: str | os.PathLike[str]) -> object:
    """Read a file's whole contents, as plain containers with ``Tensor`` leaves.

    Raises:
        CheckpointError: as in ``read_checkpoint``, without the path.
    """
    with _opened(path) as (data, reader):
        return reader(data)


def read_parameter_names(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return Paddle's internal names of a file's tensors; {} if it is not Paddle's.

    Raises:
        CheckpointError: as in ``read_checkpoint``, without the path.
    """
    with _opened(path) as (data, reader):
        return parameter_names(data) if reader is read_pdparams else {}


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Generator[tuple[memoryview, Reader]]:
    """Map a file and yield its bytes and its reader; turn all errors into CheckpointError.

    Slices and arrays of the bytes keep the mapping alive.
    """
    found, advice = "is damaged or of an unknown kind", "fetch or save the file again"
    expected = "expected a PyTorch, Paddle, safetensors or .npz file"
    with explain_errors(CheckpointError, found, f"{expected}; {advice}", Exception):
        advice = "check the path and its permissions"
        with explain_errors(CheckpointError, "cannot be read", advice):
            data = _map_file(path)
        yield data, _find_reader(data)


def _map_file(path: str | os.PathLike[str]) -> memoryview:
    if what := name_folder(path):
        raise CheckpointError(what)
    # Check before opening: opening a FIFO would wait forever for a writer.
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise CheckpointError(describe_folder(path))
    if not stat.S_ISREG(mode):
        raise CheckpointError("is not a regular file: expected a checkpoint file")
    if os.fspath(path).endswith(".distcp"):  # which ends with a zip archive of its last tensor
        raise CheckpointError(f"is a shard {_DISTRIBUTED}")
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise CheckpointError("is empty (0 bytes): fetch or save the file again")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def describe_folder(path: str | os.PathLike[str]) -> str:
    """Return what a folder without a checkpoint's own files is, and what to give instead."""
    for name, what in _FOLDERS.items():
        if os.path.isfile(os.path.join(path, name)):
            return f"is {what}: expected a checkpoint file; vae_jax.load(path) reads the folder"
    inside = sorted(os.listdir(path))
    if ".metadata" in inside and any(name.endswith(".distcp") for name in inside):
        return f"is a folder {_DISTRIBUTED}"
    index = next((name for name in inside if name.endswith(".index.json")), "the file inside it")
    return f"is a folder: expected a checkpoint file; name {index}"


def _is_torch_legacy(head: bytes) -> bool:
    return head[:1] == b"\x80" and MAGIC_BYTES in head[:32]


def _is_pickle(head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


_DISTRIBUTED = (
    "of torch.distributed.checkpoint: expected one file; `python -m "
    "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER out.pth` writes it"
)
_FOLDERS = {"run.json": "the folder of a run", "model.json": "a Flax checkpoint folder"}
_FORMATS: list[tuple[Callable[[bytes], bool], Reader]] = [
    (is_npz, read_npz),
    (lambda head: head[:4] in (b"PK\x03\x04", b"PK\x05\x06"), read_torch_zip),
    (_is_torch_legacy, read_torch_legacy),
    (lambda head: head[8:9] == b"{" and not is_text(head), read_safetensors),
    (is_index, read_index),
    (_is_pickle, read_pdparams),  # after PyTorch's older format, which begins with a pickle too
]


def _find_reader(data: memoryview) -> Reader:
    head = bytes(data[:_HEAD])
    for matches, reader in _FORMATS:
        if matches(head):
            return reader
    raise CheckpointError(name_stranger(data))
