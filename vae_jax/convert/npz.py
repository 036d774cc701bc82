"""Read the ``.npz`` files of ``numpy.savez`` without NumPy's loader, which trusts stated sizes.

Such a file is a zip archive of one ``NAME.npy`` per array: a magic number, a header with the dtype,
the order and the shape, and the values.

Source: ``numpy/lib/format.py`` defines the layout.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np

from vae_jax.convert.tensors import DTYPES, Tensor, pack_tensor
from vae_jax.convert.torch.records import ZipRecords
from vae_jax.errors import CheckpointError

_SUFFIX = ".npy"
_MAX_HEADER = 10_000
_Header = tuple[tuple[int, ...], bool, np.dtype]
_ReadHeader = Callable[[io.BytesIO, int], _Header]


def is_npz(head: bytes) -> bool:
    """Return whether a file that begins like this is a zip archive whose first record is .npy."""
    length = int.from_bytes(head[26:28], "little")
    return head[:4] == b"PK\x03\x04" and head[30 : 30 + length].endswith(_SUFFIX.encode())


def read_npz(data: memoryview) -> dict[str, Tensor]:
    """Read a file of ``numpy.savez`` or ``numpy.savez_compressed``.

    Raises:
        CheckpointError: the file is damaged or holds something other than arrays of numbers.
    """
    records = ZipRecords(data, "numpy.savez")
    others = [name for name in records.names if not name.endswith(_SUFFIX)]
    if others:
        raise CheckpointError(f"is a zip archive of .npy files and {others[0]!r:.80}: unpack it")
    return {name.removesuffix(_SUFFIX): _read(name, records.read(name)) for name in records.names}


def _read(name: str, content: memoryview) -> Tensor:
    file = io.BytesIO(content[: _MAX_HEADER + 12])
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise CheckpointError(f"has {name!r:.80} in version {version} of .npy: expected 1.0 or 2.0")
    reader = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        shape, fortran, dtype = cast(_ReadHeader, reader)(file, _MAX_HEADER)
    native = dtype.newbyteorder("=")
    if native not in DTYPES.values():
        raise CheckpointError(
            f"has {name!r:.80} of dtype {dtype!s:.80}: expected numbers (NumPy stores no bfloat16: "
            "save float32)"
        )
    values = content[file.tell() :]
    return pack_tensor(
        partial(values.__getitem__, slice(None)),
        len(values),
        native,
        shape,
        big_endian=dtype != native,
        fortran=fortran,
    )
