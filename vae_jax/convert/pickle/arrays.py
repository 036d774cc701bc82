"""Stand-ins for the NumPy functions that pickled arrays call.

A pickle builds an array with ``_reconstruct`` and a state (shape, dtype, order, bytes) that
follows, or with ``_frombuffer`` in one call. Both become a ``Tensor`` here: a checked layout on
bytes that stay in the file if they are many. Only arrays of numbers are accepted: no objects, text,
dates or records.

Source: NumPy's ``array_reduce``, ``array_setstate`` and ``arraydescr_setstate`` define the
arguments.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vae_jax.convert.pickle.values import (
    Block,
    Construct,
    Record,
    RecordType,
    Unfinished,
    latin1_bytes,
)
from vae_jax.convert.plain import is_dict, is_tuple
from vae_jax.convert.tensors import DTYPES, Tensor, pack_tensor
from vae_jax.errors import CheckpointError

CODES: dict[str, np.dtype] = {
    f"{dtype.kind}{dtype.itemsize}": dtype
    for dtype in DTYPES.values()
    if dtype.type.__module__ == "numpy"  # ml_dtypes are pickled as classes
}
"""NumPy's dtype codes in a pickle, such as ``"f4"``, to the dtypes."""


class PickledDtype(Unfinished):
    """A dtype of numbers, whose state is its byte order."""

    def __init__(self, code: object, _align: object = False, _copy: object = True):
        if type(code) is not str or code not in CODES:
            shown = code if type(code) is str else type(code).__name__
            raise CheckpointError(
                f"holds an array of dtype {shown!r:.60}: expected numbers ({', '.join(CODES)}); "
                "save the tensors without it"
            )
        self.dtype = CODES[code]
        self.big_endian = False

    def fill(self, state: object) -> None:
        """Set the byte order.

        Raises:
            ValueError: the state is malformed, or that of records or subarrays.
        """
        match state if is_tuple(state) else ():
            case (int(), "<" | ">" | "|" as order, None, None, None, *_):
                if order == "|" and self.dtype.itemsize > 1:
                    raise ValueError(f"a dtype {self.dtype} has no byte order")
                self.big_endian = order == ">"
            case _:
                raise ValueError("a dtype has an unknown state")


class PickledArray(Unfinished):
    """An array that is empty until its state is set; every reference shares the object."""

    def __init__(self, kind: object, _shape: object, _code: object):
        if type(kind) is not RecordType or kind.name != _NDARRAY.name:
            raise TypeError("an array of another class than numpy.ndarray")
        self.tensor: Tensor | None = None

    def fill(self, state: object) -> None:
        """Set the shape, dtype, order of axes and bytes.

        Raises:
            CheckpointError: the bytes do not fit the shape and dtype.
            ValueError: the state is malformed, or a second one.
        """
        if self.tensor is not None:
            raise ValueError("an array gets two contents")
        match state if is_tuple(state) else ():
            case (int(), shape, PickledDtype() as kind, bool(is_fortran), content):
                self.tensor = _tensor(content, kind, shape, is_fortran)
            case _:
                raise ValueError("an array has an unknown state")


class ForeignArray(PickledArray):
    """An array of anything, such as text, that is never looked into."""

    def fill(self, state: object) -> None:
        """Set the contents, if they are numbers."""
        if is_tuple(state) and len(state) == 5 and type(state[2]) is Record:
            return
        super().fill(state)


def settle_arrays(root: object, as_leaf: Callable[[object], object]) -> object:
    """Return the root with its arrays as tensors, which are put into nested dicts in place.

    Args:
        root: what a pickle holds.
        as_leaf: returns the tensor of an array, and any other value unchanged.
    """
    if not is_dict(root):
        return as_leaf(root)
    waiting = [root]
    seen = {id(root)}
    while waiting:
        found = waiting.pop()
        for key, value in found.items():
            if not is_dict(value):
                found[key] = as_leaf(value)
            elif id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
    return root


def number_array(value: object) -> object:
    """Return the tensor of an array of numbers; return any other value unchanged."""
    return value.tensor if isinstance(value, PickledArray) and value.tensor is not None else value


def as_tensor(value: object) -> object:
    """Return the tensor of a pickled array; return any other value unchanged.

    Raises:
        CheckpointError: the array has no contents.
    """
    if type(value) is not PickledArray:
        return value
    if value.tensor is None:
        raise CheckpointError("holds an array without values: the file is damaged")
    return value.tensor


def _from_buffer(
    content: object, kind: object, shape: object = None, order: object = None, axes: object = None
) -> Tensor:
    if type(kind) is not PickledDtype:
        raise TypeError("an array without a dtype")
    if order not in ("C", "F", "K") or (axes is not None and order != "K"):
        raise ValueError("an array has an unknown order of axes")
    if order == "K" and axes is None:
        raise ValueError("an array keeps an order of axes that is not given")
    return _tensor(content, kind, shape, order == "F", axes)


def _from_any_buffer(content: object, kind: object, *layout: object) -> object:
    is_foreign = type(kind) is Record
    return Record("numpy.ndarray") if is_foreign else _from_buffer(content, kind, *layout)


def _any_dtype(code: object, *flags: object) -> object:
    """Return the dtype of numbers, or a record of any other dtype."""
    is_number = type(code) is str and code in CODES
    return PickledDtype(code, *flags) if is_number else Record("numpy.dtype")


def _tensor(
    content: object, kind: PickledDtype, shape: object, fortran: bool, axes: object = None
) -> Tensor:
    data = _bytes_of(content)
    return pack_tensor(
        lambda: data,
        len(data),
        kind.dtype,
        shape,
        big_endian=kind.big_endian,
        fortran=fortran,
        axes=axes,
    )


def _bytes_of(content: object) -> memoryview:
    if type(content) is Block:
        return content.content()
    if type(content) is str:  # Python 2's
        return memoryview(content.encode("latin1"))
    if type(content) is bytes:
        return memoryview(content)
    raise ValueError(f"an array's content is a {type(content).__name__}")


def _no_bytes(*arguments: object) -> bytes:
    if arguments:
        raise TypeError("bytes made of something else")
    return b""


_NDARRAY = RecordType("numpy.ndarray")


def _stand_ins(
    dtype: Callable[..., object], array: Callable[..., object], buffer: Callable[..., object]
) -> dict[tuple[str, str], object]:
    return {
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): Construct(dtype),
        ("_codecs", "encode"): Construct(latin1_bytes),
        ("__builtin__", "bytes"): Construct(_no_bytes),  # how protocol 2 writes empty bytes
        **{
            (f"{core}.{name}", function): stand_in
            for core in ("numpy.core", "numpy._core")  # before and since NumPy 2
            for name, function, stand_in in (
                ("multiarray", "_reconstruct", Construct(array)),
                ("multiarray", "scalar", RecordType("numpy.generic")),  # beside the tensors
                ("numeric", "_frombuffer", Construct(buffer)),
            )
        },
    }


STAND_INS = _stand_ins(PickledDtype, PickledArray, _from_buffer)
"""The globals of NumPy's pickles to their stand-ins, for arrays of numbers."""
ANY_ARRAYS = _stand_ins(_any_dtype, ForeignArray, _from_any_buffer)
"""The same for files whose arrays may lie beside the weights, and be of anything."""
