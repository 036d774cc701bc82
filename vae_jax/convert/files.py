"""Write files safely: read them back and compare them bit for bit before replacing old ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np

from vae_jax.convert.errors import writing
from vae_jax.convert.tensors import DTYPES
from vae_jax.errors import CheckpointError
from vae_jax.files import explain_errors, replacing
from vae_jax.typing import AnyArray

Arrays = Mapping[str, AnyArray | np.generic]
_Key = TypeVar("_Key")
Write = Callable[[BinaryIO], None]


class NewFile(NamedTuple):
    """A file to write or replace.

    Attributes:
        path: its path.
        write: writes its bytes.
        check: reads a draft back and raises CheckpointError if it differs.
    """

    path: str | os.PathLike[str]
    write: Write
    check: Callable[[Path], None]


def replace_files(files: Sequence[NewFile]) -> None:
    """Write files that belong together: either all of them or none.

    Raises:
        CheckpointError: a file cannot be written; existing files are left unchanged.
    """
    targets: list[Path] = []
    for file in files:
        with writing(file.path):
            targets.append(_place(file.path))
    listed = ", ".join(str(file.path) for file in files)
    with (
        explain_errors(CheckpointError, f"{listed}: cannot be written", "nothing was changed"),
        replacing(*targets) as drafts,
    ):
        for draft, file in zip(drafts, files, strict=True):
            with writing(file.path):
                with open(draft, "xb") as stream:
                    file.write(stream)
                file.check(draft)


def compare_arrays(found: Mapping[_Key, np.ndarray], expected: Mapping[_Key, np.ndarray]) -> None:
    """Raise CheckpointError unless both hold the same arrays, bit for bit."""
    if found.keys() != expected.keys():
        raise CheckpointError("was read back with different names than written: not replaced")
    for name, array in expected.items():
        copy = found[name]
        same = copy.dtype == array.dtype and copy.shape == array.shape
        if not same or not np.array_equal(_bytes(copy), _bytes(array)):
            raise CheckpointError(
                f"was read back with a different value of {name!r} than written: not replaced; "
                "check the disk"
            )


def plain_arrays(tensors: Arrays) -> dict[str, np.ndarray]:
    """Return the arrays in the layout of files.

    Raises:
        CheckpointError: there are none, or a name or dtype cannot be stored.
    """
    arrays = {name: _plain(name, value) for name, value in tensors.items()}
    if not arrays:
        raise CheckpointError("would hold no tensors: nothing was written")
    return arrays


def native(value: object) -> np.ndarray:
    """Return a contiguous array in the machine's byte order."""
    array = np.asarray(value)
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _plain(name: object, value: object) -> np.ndarray:
    if type(name) is not str:
        raise CheckpointError(f"has the name {name!r:.80}: expected a string")
    array = native(value)
    if array.dtype not in DTYPES.values():
        raise CheckpointError(
            f"tensor {name!r} has dtype {array.dtype}: expected one of {', '.join(DTYPES)}"
        )
    return array


def _place(path: str | os.PathLike[str]) -> Path:
    target = Path(os.path.realpath(path))  # a link stays a link
    if target.is_dir():
        raise CheckpointError("is a folder: expected the name of a file")
    if not target.parent.is_dir():
        raise CheckpointError(
            f"cannot be written: there is no folder {str(target.parent)!r}; create it first"
        )
    return target


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)
