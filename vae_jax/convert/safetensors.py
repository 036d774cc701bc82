"""Read and write safetensors files without their library.

A file has eight bytes with the header's length, a JSON header (name -> dtype, shape, offsets), and
the values, little-endian and packed. The header must account for every byte. The format has no
checksum: a flipped bit in the values goes undetected.

Source: https://github.com/huggingface/safetensors, the section "Format" of its README.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from vae_jax.convert.errors import damaged
from vae_jax.convert.plain import PlainDict, are_sizes, is_dict, is_list
from vae_jax.convert.tensors import DTYPES, Tensor, pack_tensor
from vae_jax.errors import CheckpointError

MAX_HEADER = 4 << 20  # parsed JSON takes about 20 times its bytes; 10,000 tensors need 1 MB
ALIGNMENT = 64
_Json = dict[str, object] | list[object] | str | float | bool | None
_damaged = partial(damaged, "safetensors file", "a header that accounts for every byte")

CODES: dict[str, np.dtype] = {
    code: DTYPES[name]
    for code, name in {
        "F64": "float64",
        "F32": "float32",
        "F16": "float16",
        "BF16": "bfloat16",
        "F8_E4M3": "float8_e4m3fn",
        "F8_E4M3FNUZ": "float8_e4m3fnuz",
        "F8_E5M2": "float8_e5m2",
        "F8_E5M2FNUZ": "float8_e5m2fnuz",
        "F8_E8M0": "float8_e8m0fnu",
        "I64": "int64",
        "I32": "int32",
        "I16": "int16",
        "I8": "int8",
        "U64": "uint64",
        "U32": "uint32",
        "U16": "uint16",
        "U8": "uint8",
        "BOOL": "bool",
        "C64": "complex64",
    }.items()
}
"""The format's dtype names to NumPy's dtypes."""


def read_safetensors(data: memoryview) -> dict[str, Tensor]:
    """Read a safetensors file.

    Args:
        data: the file's bytes.

    Raises:
        CheckpointError: the header does not account for every byte of the file.
    """
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= len(data) - 8:
        raise _damaged(f"its header declares {length} bytes, {max(len(data) - 8, 0)} follow")
    if length > MAX_HEADER:
        raise _damaged(f"its header has {length} bytes, the limit is {MAX_HEADER}")
    try:
        text = str(data[8 : 8 + length], "utf-8")
        header: _Json = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _damaged(f"its header is not JSON: {error}") from error
    if type(header) is not dict:
        raise _damaged("its header is not a JSON object")
    notes = header.pop("__metadata__", PlainDict())
    if not is_dict(notes) or not all(type(note) is str for note in notes.values()):
        raise _damaged("its __metadata__ does not map strings to strings")

    values = data[8 + length :]
    spans = {name: _parse(name, entry) for name, entry in header.items()}
    end = 0
    for name, (start, stop, *_) in sorted(spans.items(), key=lambda item: item[1][:2]):
        if start != end:
            raise _damaged(f"tensor {name[:80]!r} starts at byte {start}, expected {end}")
        end = stop
    if end != len(values):
        raise _damaged(f"its tensors end at byte {end}, its values at {len(values)}")
    return {
        name: pack_tensor(partial(values.__getitem__, slice(start, stop)), stop - start, *layout)
        for name, (start, stop, layout) in spans.items()
    }


def encode_safetensors(tensors: Mapping[str, np.ndarray]) -> Iterator[bytes | memoryview]:
    """Yield the file's bytes in pieces, for C-contiguous little-endian arrays.

    Raises:
        CheckpointError: the format cannot store a dtype or a name.
    """
    codes = {dtype: code for code, dtype in CODES.items()}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    # The widest items come first, so that each tensor is aligned without gaps.
    order = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)
    offset = 0
    for name, array in order:
        if array.dtype not in codes or name == "__metadata__":
            raise CheckpointError(
                f"tensor {name!r} of dtype {array.dtype} cannot be stored in safetensors: "
                f"expected one of {', '.join(map(str, codes))}; convert it, or write a .pth file"
            )
        span = [offset, offset + array.nbytes]
        header[name] = {
            "dtype": codes[array.dtype],
            "shape": list(array.shape),
            "data_offsets": span,
        }
        offset = span[1]
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise CheckpointError(f"the names take {len(text)} bytes, the limit is {MAX_HEADER}")
    yield len(text).to_bytes(8, "little")
    yield text
    for _, array in order:
        yield array.reshape(-1).view(np.uint8).data if array.size else b""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    "".join(found).encode("utf-8")  # JSON allows an escaped lone surrogate, which no name has
    return found


def _parse(name: str, entry: object) -> tuple[int, int, tuple[np.dtype, tuple[int, ...]]]:
    """Check one tensor's entry and return (start, stop, (dtype, shape))."""
    layout = entry if is_dict(entry) else PlainDict()
    code, shape, span = (layout.get(key) for key in ("dtype", "shape", "data_offsets"))
    if type(code) is not str or not is_list(shape) or not is_list(span) or len(span) != 2:
        raise _damaged(f"tensor {name[:80]!r} has no dtype, shape and data_offsets")
    sizes = (*span, *shape)
    if len(layout) != 3 or not are_sizes(sizes):
        raise _damaged(f"tensor {name[:80]!r} has a shape or offsets that are not sizes")
    if code not in CODES:
        raise _damaged(f"tensor {name[:80]!r} has the unknown dtype {code[:20]!r}")
    return sizes[0], sizes[1], (CODES[code], sizes[2:])
