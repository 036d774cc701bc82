"""Tensors as PyTorch stores them, without PyTorch: a layout on a storage of bytes in the file.

A checkpoint describes where a tensor lies in a storage (offset, shape, strides, in elements); the
bytes are elsewhere in the file. Here the layout is checked against the storage; ``Tensor.array``
then makes a read-only NumPy view of the file, without a copy where possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from vae_jax.convert.plain import are_sizes, is_size, is_tuple
from vae_jax.errors import CheckpointError

MAX_AXES = 64
MAX_REPEATED = 1 << 20  # most elements of a tensor that is larger than its storage (stride 0)

DTYPES: dict[str, np.dtype] = {
    name: np.dtype(kind)
    for name, kind in {
        "float64": np.float64,
        "float32": np.float32,
        "float16": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
        "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
        "float8_e5m2": ml_dtypes.float8_e5m2,
        "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
        "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu,
        "int64": np.int64,
        "int32": np.int32,
        "int16": np.int16,
        "int8": np.int8,
        "uint64": np.uint64,
        "uint32": np.uint32,
        "uint16": np.uint16,
        "uint8": np.uint8,
        "bool": np.bool_,
        "complex128": np.complex128,
        "complex64": np.complex64,
    }.items()
}
"""PyTorch's dtype names to NumPy's dtypes."""


class Storage:
    """Bytes that tensors share, fetched when they are needed."""

    def __init__(self, fetch: Callable[[], memoryview], big_endian: bool = False):
        self._fetch = fetch
        self._big_endian = big_endian
        self._ready: dict[tuple[np.dtype, bool, bool], np.ndarray] = {}

    def elements(self, dtype: np.dtype, conj: bool, neg: bool) -> np.ndarray:
        """Return all elements as a read-only array, a view of the file where possible."""
        wanted = (dtype, conj, neg)
        if wanted not in self._ready:  # cached, so that views of one storage share one copy
            raw = np.frombuffer(self._fetch(), np.uint8)
            if raw.__array_interface__["data"][0] % dtype.alignment:
                raw = raw.copy()
            values = raw[: len(raw) - len(raw) % dtype.itemsize].view(dtype)
            if self._big_endian:
                word = dtype.itemsize // (2 if dtype.kind == "c" else 1)
                values = values.view(f"u{word}").byteswap().view(dtype)
            if conj:
                values = np.conj(values)
            if neg:
                values = np.negative(values)
            values.flags.writeable = False
            self._ready[wanted] = values
        return self._ready[wanted]


@dataclass(frozen=True, eq=False, slots=True)
class StorageView:
    """A part of a storage, in bytes, and the dtype of its elements (None: untyped)."""

    storage: Storage
    dtype: np.dtype | None
    start: int
    size: int


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A checked layout on a storage, in elements."""

    storage: Storage
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    conj: bool = False
    neg: bool = False

    def array(self) -> np.ndarray:
        """Return the values, read-only; the file stays mapped as long as they exist."""
        item = self.dtype.itemsize
        if 0 in self.shape:
            empty = np.empty(self.shape, self.dtype)
            empty.flags.writeable = False
            return empty
        strides = (
            step * item if count > 1 else item
            for count, step in zip(self.shape, self.strides, strict=True)
        )
        # Unlike as_strided, ndarray checks the bounds again.
        return np.ndarray(
            self.shape,
            self.dtype,
            self.storage.elements(self.dtype, self.conj, self.neg),
            self.offset * item,
            tuple(strides),
        )


def make_tensor(
    view: StorageView,
    dtype: np.dtype,
    offset: object,
    shape: object,
    strides: object,
    *,
    conj: bool = False,
    neg: bool = False,
) -> Tensor:
    """Check a layout from a file against its storage.

    Args:
        view: the storage, or the part of it that the tensor may use.
        dtype: the elements' dtype.
        offset: the first element's offset from the start of the view.
        shape: the shape, unchecked.
        strides: elements between neighbours along each axis, unchecked.
        conj: whether the file holds the complex conjugate of the values.
        neg: whether the file holds the negated values.

    Raises:
        CheckpointError: the layout is malformed or leaves the view.
    """
    if not is_tuple(shape) or not is_tuple(strides) or len(shape) != len(strides):
        raise CheckpointError("a tensor's shape and strides do not match: the file is damaged")
    if len(shape) > MAX_AXES:
        raise CheckpointError(f"a tensor has {len(shape)} axes, expected at most {MAX_AXES}")
    if not (is_size(offset) and are_sizes(shape) and are_sizes(strides)):
        raise CheckpointError(
            "a tensor's offset, shape and strides are not all integers of at least 0: the file is "
            "damaged"  # the values are not quoted, as nested tuples can be endless
        )
    reach = offset
    if 0 not in shape:
        reach += 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    room = view.size // dtype.itemsize
    if reach > room or view.start % dtype.itemsize:
        raise CheckpointError(
            f"a tensor of shape {shape} with strides {strides} at offset {offset} needs {reach} "
            f"elements of its storage, which holds {room}: the file is damaged"
        )
    if math.prod(max(n, 1) for n in shape) > max(room, MAX_REPEATED):
        raise CheckpointError(f"a tensor repeats {room} elements to the shape {shape}: too large")
    return Tensor(
        view.storage, dtype, view.start // dtype.itemsize + offset, shape, strides, conj, neg
    )


def pack_tensor(
    fetch: Callable[[], memoryview],
    size: int,
    dtype: np.dtype,
    shape: object,
    *,
    big_endian: bool = False,
    fortran: bool = False,
    axes: object = None,
) -> Tensor:
    """Make a tensor that fills its bytes without gaps.

    Args:
        fetch: returns the bytes.
        size: the number of bytes.
        dtype: the elements' dtype.
        shape: the shape, unchecked.
        big_endian: whether the elements are big-endian.
        fortran: whether the first axis is the innermost one, instead of the last.
        axes: the order of ``shape``'s axes in the result, unchecked.

    Raises:
        CheckpointError: the shape is malformed or needs another number of bytes.
    """
    if not is_tuple(shape) or len(shape) > MAX_AXES:
        raise CheckpointError(
            f"an array's shape is not a tuple of at most {MAX_AXES} sizes: damaged"
        )
    if not are_sizes(shape):
        # The values are not quoted, as nested tuples can be endless.
        raise CheckpointError("an array's shape holds something other than sizes: damaged")
    if math.prod(shape) * dtype.itemsize != size:
        raise CheckpointError(
            f"an array of shape {shape!r:.100} and dtype {dtype} has {size} bytes, expected "
            f"{math.prod(shape)!r:.40} items of {dtype.itemsize}: the file is damaged"
        )
    inner = [shape[:n] if fortran else shape[n + 1 :] for n in range(len(shape))]
    strides = tuple(map(math.prod, inner))
    if axes is not None:
        if not is_tuple(axes) or not are_sizes(axes) or sorted(axes) != list(range(len(shape))):
            raise CheckpointError("an array's order of axes is not one of each: damaged")
        shape, strides = tuple(shape[n] for n in axes), tuple(strides[n] for n in axes)
    view = StorageView(Storage(fetch, big_endian), dtype, 0, size)
    return make_tensor(view, dtype, 0, shape, strides)
