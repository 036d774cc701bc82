"""The complete list of names that a PyTorch pickle may refer to, each with a stand-in.

None of PyTorch's code is used, and no name outside the list is ever looked up: a stand-in either
builds plain data from arguments that it checks, or is an inert record that keeps attributes. The
list covers state dicts and what training checkpoints hold beside them (optimiser and scheduler
state, the command line's Namespace, a NumPy scalar as the best loss).

Source: ``torch/_utils.py``, ``torch/jit/_pickle.py`` and ``torch/serialization.py`` define the
arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.convert.pickle.values import (
    Construct,
    RecordType,
    check_simple_key,
    latin1_bytes,
    plain_dict,
)
from vae_jax.convert.tensors import DTYPES, StorageView, Tensor, make_tensor
from vae_jax.errors import CheckpointError


class StorageType:
    """The class of a storage, with its elements' dtype, or None for untyped bytes."""

    def __init__(self, dtype: np.dtype | None):
        self.dtype = dtype


def find_global(module: str, name: str) -> Any:
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


def find_scripted_global(module: str, name: str) -> Any:
    """Return the stand-in for a global of a TorchScript archive; its classes are inert records."""
    if module == "__torch__" or module.startswith("__torch__."):
        return RecordType(f"{module}.{name}")
    return find_global(module, name)


def parse_storage_id(identifier: object) -> tuple[np.dtype | None, str, int, Any]:
    """Check a persistent id: ``("storage", class, key, device, count[, view])``.

    Returns:
        The elements' dtype or None, the key, the size in bytes, and the view or None.

    Raises:
        CheckpointError: the id is malformed, or that of a whole pickled module.
    """
    match identifier:
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
    raise CheckpointError("its pickle names a storage in an unknown way: the file is damaged")


def _rebuild(view, offset, shape, strides, _requires_grad=False, _hooks=None, marks=None):
    if type(view) is not StorageView or view.dtype is None:
        raise TypeError("a tensor without a typed storage")
    return make_tensor(view, view.dtype, offset, shape, strides, **_flags(marks))


def _rebuild_typed(view, offset, shape, strides, _requires_grad, _hooks, dtype, marks=None):
    if type(view) is not StorageView or not isinstance(dtype, np.dtype):
        raise TypeError("a tensor without a storage or a dtype")
    return make_tensor(view, dtype, offset, shape, strides, **_flags(marks))


def _flags(marks: object) -> dict[str, bool]:
    if marks is None:
        return {}
    if type(marks) is not dict or not all(
        mark in ("conj", "neg") and type(value) is bool for mark, value in marks.items()
    ):
        raise TypeError("a tensor with unknown marks")
    return marks


def _rebuild_parameter(tensor, _requires_grad=True, _hooks=None, _state=None):
    if type(tensor) is not Tensor:
        raise TypeError("a parameter that is not a tensor")
    return tensor


def _rebuild_subclass(function, _kind, arguments, _state):
    # A tensor with Python attributes, such as nn.Buffer; the attributes are not weights.
    known = any(function is maker for maker in _TENSOR_MAKERS.values())
    if not known or type(arguments) is not tuple:
        raise TypeError("a tensor that no function of torch rebuilds")
    return function.build(*arguments)


def _defaultdict(_factory: object = None) -> dict:
    return {}


def _set(items: Any = ()) -> set:
    return set(map(check_simple_key, items))


def _size(sizes: Any = ()) -> tuple:
    if type(sizes) not in (tuple, list) or not all(type(size) is int for size in sizes):
        raise TypeError("a torch.Size of something other than integers")
    return tuple(sizes)


def _complex(real: Any, imag: Any) -> complex:
    return complex(real, imag)


def _first(value: object, *_: object) -> Any:
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
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
)

_STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Construct(plain_dict),
    ("collections", "Counter"): Construct(plain_dict),  # MultiStepLR's milestones
    ("collections", "defaultdict"): Construct(_defaultdict),
    ("_codecs", "encode"): Construct(latin1_bytes),
    ("torch", "Size"): Construct(_size),
    ("torch", "device"): Construct(_first),
    ("torch.storage", "UntypedStorage"): StorageType(None),
    ("torch._tensor", "_rebuild_from_type_v2"): Construct(_rebuild_subclass),
}
_STAND_INS |= {("torch._utils", name): maker for name, maker in _TENSOR_MAKERS.items()}
_STAND_INS |= {("torch.jit._pickle", name): Construct(_first) for name in _SCRIPT_HELPERS}
_STAND_INS |= {("torch", name): dtype for name, dtype in DTYPES.items()}
_STAND_INS |= {
    (module, name): StorageType(DTYPES[dtype])
    for name, dtype in _STORAGE_TYPES.items()
    for module in ("torch", "torch.cuda")  # torch.cuda: files of PyTorch 0.x
}
_STAND_INS |= {found: RecordType(".".join(found)) for found in _INERT}
for _module in ("builtins", "__builtin__"):  # protocol 2 writes Python 2's name
    _STAND_INS |= {
        (_module, "set"): Construct(_set),
        (_module, "frozenset"): Construct(_set),
        (_module, "complex"): Construct(_complex),
    }
    _STAND_INS |= {
        (_module, kind): RecordType(kind) for kind in ("dict", "list", "int", "float")
    }  # a defaultdict's factory
