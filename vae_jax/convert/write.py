"""Write a checkpoint that other programs read, and never lose the file it replaces.

The new file is written beside the old one, flushed to the disk, read back with this package's own
reader and compared bit for bit; only then does it take the old one's place, in one step.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from vae_jax.convert.paddle.pdparams import write_pdparams
from vae_jax.convert.read import one_line, read_as_named
from vae_jax.convert.safetensors import encode_safetensors
from vae_jax.convert.tensors import DTYPES
from vae_jax.errors import CheckpointError, MissingExtraError

Write = Callable[[BinaryIO], None]


def write_checkpoint(path: str | os.PathLike[str], tensors: Mapping[str, Any]) -> None:
    """Write named arrays as a checkpoint; the suffix decides the format.

    ``.safetensors`` and ``.pdparams`` (for ``paddle.load``) need nothing else; ``.pth`` and ``.pt``
    need PyTorch, and hold a plain state dict that ``torch.load(weights_only=True)`` takes;
    ``.index`` needs TensorFlow, and writes all files of a checkpoint of that prefix. Arrays keep
    their dtype and shape, NaN payloads included; the byte order becomes little-endian and the
    memory contiguous.

    Args:
        path: the file to write or replace.
        tensors: name to array (NumPy or JAX).

    Raises:
        CheckpointError: one line, if the arrays or the place cannot be written; a file that was
            there before is left as it was.
        MissingExtraError: if the format needs PyTorch or TensorFlow and it is not installed.
    """
    from vae_jax.convert.tensorflow.checkpoint import write_tensorflow

    if Path(path).suffix == ".index":
        write_tensorflow(str(path).removesuffix(".index"), tensors)
        return
    with one_line_errors(path):
        target = Path(os.path.realpath(path))  # a link stays a link
        prepare = _FORMATS.get(target.suffix)
        if prepare is None:
            raise CheckpointError(
                f"has the suffix {target.suffix!r}: expected one of {', '.join(_FORMATS)}"
            )
        arrays = plain_arrays(tensors)
        file = NewFile(path, prepare(arrays), lambda draft: check_tensors(draft, arrays))
    replace_files([file])


class NewFile(NamedTuple):
    """A file to write or replace.

    Attributes:
        path: where.
        write: writes its bytes.
        check: reads them back from a path and raises CheckpointError where they differ.
    """

    path: str | os.PathLike[str]
    write: Write
    check: Callable[[Path], None]


def replace_files(files: Sequence[NewFile]) -> None:
    """Write files that belong together: all beside their places and proven, and then moved there.

    Raises:
        CheckpointError: one line; nothing was replaced, unless the disk failed between the moves.
    """
    with contextlib.ExitStack() as drafts:
        ready = []
        for file in files:
            with one_line_errors(file.path):
                target = Path(os.path.realpath(file.path))
                ready.append((drafts.enter_context(_drafted(target, file)), target))
        for (draft, target), file in zip(ready, files, strict=True):
            with one_line_errors(file.path):
                os.replace(draft, target)


def check_tensors(draft: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises CheckpointError unless a file holds these arrays, bit for bit."""
    compare_arrays(read_as_named(draft), arrays)


def plain_arrays(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Arrays as files have them, by name; raises CheckpointError for others, or none."""
    arrays = {name: _plain(name, value) for name, value in tensors.items()}
    if not arrays:
        raise CheckpointError("would hold no tensors: nothing was written")
    return arrays


@contextlib.contextmanager
def one_line_errors(
    path: str | os.PathLike[str],
    failure: str = "cannot be written",
    advice: str = "nothing was changed",
) -> Iterator[None]:
    """Makes every error in the block one line about the path of a file."""
    try:
        yield
    except MissingExtraError:
        raise
    except CheckpointError as error:
        raise CheckpointError(one_line(path, str(error))) from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CheckpointError(one_line(path, f"{failure}: {reason}; {advice}")) from error


def _plain(name: Any, value: Any) -> np.ndarray:
    """A contiguous array in the machine's byte order, of a dtype that checkpoints have."""
    if type(name) is not str:
        raise CheckpointError(f"has the name {name!r:.80}: expected a string")
    array = np.asarray(value)
    array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    if array.dtype not in DTYPES.values():
        raise CheckpointError(
            f"tensor {name!r} has dtype {array.dtype}: expected one of {', '.join(DTYPES)}"
        )
    return array


@contextlib.contextmanager
def _drafted(target: Path, file: NewFile) -> Iterator[Path]:
    """A file written beside its place and proven; what is left of it goes at the end."""
    if target.is_dir():
        raise CheckpointError("is a folder: expected the name of a file")
    if not target.parent.is_dir():
        raise CheckpointError(
            f"cannot be written: there is no folder {str(target.parent)!r}; create it first"
        )
    # Not tempfile: its files are for their owner alone, and this one is to stay.
    draft = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    try:
        with open(draft, "xb") as stream:
            file.write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        file.check(draft)
        if target.exists():
            os.chmod(draft, target.stat().st_mode & 0o777)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def compare_arrays(found: Mapping[Any, np.ndarray], expected: Mapping[Any, np.ndarray]) -> None:
    """Raises CheckpointError unless both hold the same arrays, bit for bit."""
    if found.keys() != expected.keys():
        raise CheckpointError("was read back with other names than were written: not replaced")
    for name, array in expected.items():
        copy = found[name]
        same = copy.dtype == array.dtype and copy.shape == array.shape
        if not same or not np.array_equal(_bytes(copy), _bytes(array)):
            raise CheckpointError(
                f"was read back with another value of {name!r} than was written: not replaced; "
                "check the disk"
            )


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _as_safetensors(arrays: dict[str, np.ndarray]) -> Write:
    def write(file: BinaryIO) -> None:
        for piece in encode_safetensors(arrays):
            file.write(piece)

    return write


def _as_torch(arrays: dict[str, np.ndarray]) -> Write:
    torch, tensor = torch_tensors()

    def write(file: BinaryIO) -> None:
        torch.save(OrderedDict((name, tensor(array)) for name, array in arrays.items()), file)

    return write


def torch_tensors() -> tuple[Any, Callable[[np.ndarray], Any]]:
    """PyTorch, and the function that makes a tensor of an array, bit for bit.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "torch", "writing a .pth file") from error

    torch_dtypes = {dtype: getattr(torch, name) for name, dtype in DTYPES.items()}

    def tensor(array: np.ndarray) -> torch.Tensor:
        # A copy each: PyTorch warns of arrays it may not write to, and saves no two types that
        # share memory. It knows no ml_dtypes either: those are copied as bits, and relabelled.
        plain = array.copy()
        if plain.dtype.type.__module__ != "numpy":
            plain = plain.view(f"u{plain.dtype.itemsize}")
        return torch.from_numpy(plain).view(torch_dtypes[array.dtype])

    return torch, tensor


def _as_paddle(arrays: dict[str, np.ndarray]) -> Write:
    return lambda file: write_pdparams(arrays, file)


_FORMATS: dict[str, Callable[[dict[str, np.ndarray]], Write]] = {
    ".safetensors": _as_safetensors,
    ".pth": _as_torch,
    ".pt": _as_torch,
    ".pdparams": _as_paddle,
}
