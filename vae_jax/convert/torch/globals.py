"""The complete list of names that a PyTorch pickle may refer to, each with a stand-in.

None of PyTorch's code is used, and no name outside the list is ever looked up: a stand-in either
builds plain data from arguments that it checks, or is an inert record that keeps attributes. The
list covers state dicts and what training checkpoints hold beside them (optimiser and scheduler
state, the command line's Namespace, NumPy's arrays and scalars).

Source: ``torch/_utils.py``, ``torch/jit/_pickle.py`` and ``torch/serialization.py`` define the
arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import numpy as np

from vae_jax.convert.pickle.arrays import ANY_ARRAYS
from vae_jax.convert.pickle.values import (
    Construct,
    RecordType,
    check_simple_key,
    plain_dict,
)
from vae_jax.convert.plain import PlainDict, is_dict, is_list, is_tuple
from vae_jax.convert.tensors import DTYPES, StorageView, Tensor, make_tensor
from vae_jax.errors import CheckpointError

KEEP_OVER = 1 << 16
"""Longer bytes, which are those of NumPy's arrays, stay in the file."""


class StorageType:
    """The class of a storage, with its elements' dtype, or None for untyped bytes."""

    def __init__(self, dtype: np.dtype | None):
        self.dtype = dtype


def find_global(module: str, name: str) -> object:
    """Return the stand-in for a global of a state dict.

    Raises:
        CheckpointError: the name is not in the list.
    """
    try:
        return _STAND_INS[module, name]
    except KeyError:
        raise CheckpointError(
            f"its pickle refers to {f'{module}.{name}'[:200]!r}, which is not part of a state "
            "dict: refused, nothing was run; if the file is a whole pickled model or holds objects "
            "of your own, save model.state_dict() instead"
        ) from None


def find_scripted_global(module: str, name: str) -> object:
    """Return the stand-in for a global of a TorchScript archive; its classes are inert records."""
    if module == "__torch__" or module.startswith("__torch__."):
        return RecordType(f"{module}.{name}")
    return find_global(module, name)


def parse_storage_id(identifier: object) -> tuple[np.dtype | None, str, int, object]:
    """Check a persistent id: ``("storage", class, key, device, count[, view])``.

    Returns:
        The elements' dtype or None, the key, the size in bytes, and the view or None.

    Raises:
        CheckpointError: the id is malformed, or that of a whole pickled module.
    """
    match identifier if is_tuple(identifier) else ():
        case ("storage", StorageType(dtype=dtype), str(key), _, int(count), *rest):
            if not 0 <= count < 1 << 60 or len(rest) > 1:
                raise CheckpointError(f"storage {key[:40]!r} has the size {count}: damaged")
            item = 1 if dtype is None else dtype.itemsize
            return dtype, key, count * item, rest[0] if rest else None
        case ("module", *_):
            raise CheckpointError(
                "holds a whole pickled model: refused, nothing was run; "
                "save model.state_dict() instead"
            )
        case _:
            pass
    raise CheckpointError("its pickle names a storage in an unknown way: the file is damaged")


def _rebuild(view: object, *layout: object) -> Tensor:
    # The offset, shape, strides, whether a gradient is required, the hooks, and the marks.
    dtype = view.dtype if type(view) is StorageView else None
    return _make(view, dtype, layout[:3], *layout[5:])


def _rebuild_typed(view: object, *layout: object) -> Tensor:
    # The same, with the dtype before the marks.
    return _make(view, layout[5], layout[:3], *layout[6:])


def _make(view: object, dtype: object, layout: tuple[object, ...], marks: object = None) -> Tensor:
    offset, shape, strides = layout
    known = next((kind for kind in DTYPES.values() if kind is dtype), None)
    if type(view) is not StorageView or known is None:
        raise TypeError("a tensor without a storage or a dtype")
    flags = PlainDict() if marks is None else marks
    if not is_dict(flags) or not all(
        mark in ("conj", "neg") and type(value) is bool for mark, value in flags.items()
    ):
        raise TypeError("a tensor with unknown marks")
    conj, neg = flags.get("conj") is True, flags.get("neg") is True
    return make_tensor(view, known, offset, shape, strides, conj=conj, neg=neg)


def _rebuild_parameter(
    tensor: object, _requires_grad: object = True, _hooks: object = None, _state: object = None
) -> Tensor:
    if type(tensor) is not Tensor:
        raise TypeError("a parameter that is not a tensor")
    return tensor


def _rebuild_subclass(function: object, _kind: object, arguments: object, _state: object) -> object:
    # A tensor with Python attributes, such as nn.Buffer; the attributes are not weights.
    maker = next((maker for maker in _TENSOR_MAKERS.values() if maker is function), None)
    if maker is None or not is_tuple(arguments):
        raise TypeError("a tensor that no function of torch rebuilds")
    return maker.build(*arguments)


def _defaultdict(_factory: object = None) -> PlainDict:
    return {}


def _set(items: object = ()) -> set[object]:
    return set(map(check_simple_key, cast("Iterable[object]", items)))


def _size(sizes: object = ()) -> tuple[object, ...]:
    if not (is_tuple(sizes) or is_list(sizes)) or not all(type(size) is int for size in sizes):
        raise TypeError("a torch.Size of something other than integers")
    return tuple(sizes)


def _complex(real: float, imag: float) -> complex:
    return complex(real, imag)


def _first(value: object, *_: object) -> object:
    return value


_TENSOR_MAKERS = {
    "_rebuild_tensor": Construct(_rebuild),
    "_rebuild_tensor_v2": Construct(_rebuild),
    "_rebuild_tensor_v3": Construct(_rebuild_typed),
    "_rebuild_parameter": Construct(_rebuild_parameter),
    "_rebuild_parameter_with_state": Construct(_rebuild_parameter),
}
_STORAGE_TYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
}
_SCRIPT_HELPERS = (
    "build_intlist",
    "build_tensorlist",
    "build_doublelist",
    "build_boollist",
    "restore_type_tag",
)
_INERT: tuple[tuple[str, str], ...] = (
    ("argparse", "Namespace"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),  # Python 3.13's
    ("pathlib._local", "WindowsPath"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
)

_BUILTINS: dict[str, object] = {
    "set": Construct(_set),
    "frozenset": Construct(_set),
    "complex": Construct(_complex),
    **{kind: RecordType(kind) for kind in ("dict", "list", "int", "float")},  # of a defaultdict
}

_STAND_INS: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): Construct(plain_dict),
    ("collections", "Counter"): Construct(plain_dict),  # MultiStepLR's milestones
    ("collections", "defaultdict"): Construct(_defaultdict),
    ("torch", "Size"): Construct(_size),
    ("torch", "device"): Construct(_first),
    ("torch.storage", "UntypedStorage"): StorageType(None),
    ("torch._tensor", "_rebuild_from_type_v2"): Construct(_rebuild_subclass),
    **{("torch._utils", name): maker for name, maker in _TENSOR_MAKERS.items()},
    **{("torch.jit._pickle", name): Construct(_first) for name in _SCRIPT_HELPERS},
    **{("torch", name): dtype for name, dtype in DTYPES.items()},
    **{
        (module, name): StorageType(DTYPES[dtype])
        for name, dtype in _STORAGE_TYPES.items()
        for module in ("torch", "torch.cuda")  # torch.cuda: files of PyTorch 0.x
    },
    **{found: RecordType(".".join(found)) for found in _INERT},
    **ANY_ARRAYS,
    **{
        (module, name): stand_in
        for module in ("builtins", "__builtin__")  # protocol 2 writes Python 2's name
        for name, stand_in in _BUILTINS.items()
    },
}
