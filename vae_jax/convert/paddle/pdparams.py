"""Read and write the files of ``paddle.save`` without Paddle.

Such a file is one pickle, tensors included: a dict of NumPy arrays by name and, under reserved
names, a table of Paddle's internal names and a table of tensors that were too large for protocols 2
and 3 and were cut into pieces (joined here). A dict that holds more than a state dict has each
tensor as a pair of its internal name and its array. The format has no checksum: a flipped bit in
the values goes undetected.

NumPy has no bfloat16, so Paddle saves its bits as uint16. Nothing in a file distinguishes them from
integers, but ``paddle.load`` takes every array of uint16 for bfloat16, and so does this reader.

Source: ``paddle/framework/io.py`` and ``io_utils.py`` define the layout.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import BinaryIO, cast

import numpy as np

from vae_jax.convert.errors import damaged
from vae_jax.convert.pickle.arrays import STAND_INS, as_tensor, settle_arrays
from vae_jax.convert.pickle.opcodes import load_pickle
from vae_jax.convert.pickle.values import Construct, plain_dict
from vae_jax.convert.plain import PlainDict, is_dict, is_list, is_tuple, items_of
from vae_jax.convert.strangers import name_global
from vae_jax.convert.tensors import DTYPES, Tensor, pack_tensor
from vae_jax.errors import CheckpointError

NAME_TABLE = "StructuredToParameterName@@"
SPLIT_TABLE = "UnpackBigParamInfor@@"
PROTOCOL = 4  # Paddle's default
_damaged = partial(damaged, "Paddle file", "one pickle of a dict of arrays")
MAX_NAME = 512  # bytes of a tensor's name; anything longer is taken for an array's bytes

_BFLOAT16 = DTYPES["bfloat16"]
_NO_DTYPES = ("float8", "uint16", "uint32", "uint64")
_DTYPES = [dtype for name, dtype in DTYPES.items() if not name.startswith(_NO_DTYPES)]


def read_pdparams(data: memoryview) -> object:
    """Read a pickle of arrays.

    Args:
        data: the file's bytes.

    Returns:
        The saved object, as plain containers; arrays inside nested dicts are ``Tensor`` leaves.

    Raises:
        CheckpointError: the file is damaged, hostile or holds something other than plain data.
    """
    root = settle_arrays(_load(data), _as_tensor)
    if is_dict(root):
        root.pop(NAME_TABLE, None)
        _join_pieces(root, root.pop(SPLIT_TABLE, PlainDict()), len(data))
    return root


def parameter_names(data: memoryview) -> dict[str, str]:
    """Return Paddle's internal names of a file's tensors; {} if the file stores none.

    Raises:
        CheckpointError: as in ``read_pdparams``, or the table is malformed.
    """
    root = _load(data)
    table = root.get(NAME_TABLE, PlainDict()) if is_dict(root) else PlainDict()
    names = {k: v for k, v in items_of(table) if type(k) is str and type(v) is str}
    if not is_dict(table) or len(names) < len(table):
        raise _damaged(f"its table {NAME_TABLE} is not one of names")
    return names


def write_pdparams(
    arrays: Mapping[str, np.ndarray], file: BinaryIO, names: Mapping[str, str] | None = None
) -> None:
    """Write C-contiguous arrays as ``paddle.save`` does, with its table of names if given.

    Raises:
        CheckpointError: such a file cannot store a dtype or a name.
    """
    for name, array in arrays.items():
        # Paddle reads uint16 as bfloat16, and reads or has none of the other dtypes left out.
        if array.dtype not in _DTYPES:
            raise CheckpointError(
                f"tensor {name!r} of dtype {array.dtype} cannot be stored for Paddle: expected one "
                f"of {', '.join(map(str, _DTYPES))}; convert it, or write a .safetensors file"
            )
        if name in (NAME_TABLE, SPLIT_TABLE) or len(name.encode("utf-8")) > MAX_NAME:
            raise CheckpointError(
                f"has a tensor named {name!r:.80}: expected at most {MAX_NAME} bytes, and no name "
                "that Paddle itself uses; rename it"
            )
    table = {} if names is None else {NAME_TABLE: dict(names)}
    stored = {n: a.view(np.uint16) if a.dtype == _BFLOAT16 else a for n, a in arrays.items()}
    pickle.dump(stored | table, file, PROTOCOL)


def _load(data: memoryview) -> object:
    root, end = load_pickle(data, 0, _find_global, writer="paddle.save", keep_over=MAX_NAME)
    if end != len(data):
        raise CheckpointError(
            f"is a pickle that ends at byte {end} of {len(data)}: expected one pickle of a dict of "
            "arrays; if it holds several, save them as one dict"
        )
    return root


def _find_global(module: str, name: str) -> object:
    try:
        return _STAND_INS[module, name]
    except KeyError:
        raise CheckpointError(name_global(module, name)) from None


def _tuple(items: object = ()) -> tuple[object, ...]:
    return tuple(cast("Iterable[object]", items))


def _as_tensor(value: object) -> object:
    found = as_tensor(value)
    if is_tuple(value) and len(value) == 2 and type(value[0]) is str:
        pair = as_tensor(value[1])
        found = pair if type(pair) is Tensor else value
    if type(found) is Tensor and found.dtype == np.uint16:
        return replace(found, dtype=_BFLOAT16)
    return found


def _join_pieces(root: PlainDict, table: object, limit: int) -> None:
    """Replace the pieces of each cut tensor by the whole tensor."""
    if not is_dict(table):
        raise _damaged(f"its table {SPLIT_TABLE} is a {type(table).__name__}")
    joined: dict[str, Tensor] = {}
    size = 0
    for name, entry in table.items():
        known = entry if is_dict(entry) else PlainDict()
        names = known.get("slices")
        if type(name) is not str or not is_list(names) or not names or "OriginShape" not in known:
            raise _damaged(f"its entry {name!r:.80} of {SPLIT_TABLE} is unknown")
        pieces = [root.pop(n, None) if type(n) is str else None for n in names]
        joined[name] = _join(name, pieces, known["OriginShape"])
        size += _size(joined[name])
        if size > limit:  # a file can repeat one piece under many names
            raise _damaged(f"its joined tensors take {size} bytes, but the file has {limit}")
    root |= joined


def _join(name: str, found: list[object], shape: object) -> Tensor:
    pieces = [piece for piece in found if type(piece) is Tensor and len(piece.shape) == 1]
    if len(pieces) < len(found):
        raise _damaged(f"a piece of tensor {name!r:.80} is missing or not a row of numbers")
    dtype = pieces[0].dtype
    if any(piece.dtype != dtype for piece in pieces):
        raise _damaged(f"the pieces of tensor {name!r:.80} have several dtypes")
    size = sum(map(_size, pieces))
    return pack_tensor(
        lambda: np.concatenate([piece.array() for piece in pieces]).view(np.uint8).data,
        size,
        dtype,
        shape,
    )


def _size(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * tensor.dtype.itemsize


_STAND_INS = STAND_INS | {
    ("collections", "OrderedDict"): Construct(plain_dict),
    ("builtins", "tuple"): Construct(_tuple),
    ("__builtin__", "tuple"): Construct(_tuple),
}
