"""Name files of other formats that are given in a checkpoint's place, and say what to do instead.

The format is recognised by the content: magic bytes, or the structure of formats that have none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from vae_jax.errors import CheckpointError

_HEAD = 512
_SAVE = "save its arrays under the original's names with numpy.savez('weights.npz', **arrays)"
_FLAX = "and save vae_jax.export_weights(model_name, variables) with vae_jax.write_checkpoint"
V1 = (
    "is a TensorFlow checkpoint of Saver's old V1 format: restore it in TensorFlow and save it "
    "again with tf.compat.v1.train.Saver(), which writes V2, and give that prefix"
)
_UNPACK = "unpack it first"

_MAGIC = [
    (0, b"version https://git-lfs", "is a git-lfs pointer, not the file: run `git lfs pull`"),
    (0, b"\x1f\x8b", f"is a gzip archive: {_UNPACK}"),
    (0, b"BZh", f"is a bzip2 archive: {_UNPACK}"),
    (0, b"\xfd7zXZ", f"is an xz archive: {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"is a zstd archive: {_UNPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"is a 7z archive: {_UNPACK}"),
    (0, b"Rar!\x1a\x07", f"is a RAR archive: {_UNPACK}"),
    (257, b"ustar", f"is a tar archive: {_UNPACK}"),
    (0, b"\x89HDF\r\n", f"is an HDF5 file (of Keras, if its weights are meant): {_SAVE}"),
    (0, b"\x93NUMPY", f"is one NumPy array without a name, expected a state dict: {_SAVE}"),
    (0, b"GGUF", f"is a GGUF file: {_SAVE}"),
    (4, b"TFL3", f"is a TensorFlow Lite model: {_SAVE}"),
    (0, b"\x89PNG\r\n", "is a picture (PNG): expected a checkpoint"),
    (0, b"\xff\xd8\xff", "is a picture (JPEG): expected a checkpoint"),
]
"""Other formats: the offset of their magic bytes, the bytes, and the message."""

_WEB_PAGES = (b"<!doctype", b"<html", b"<head")
_TABLE = 0xDB4775248B80FB57.to_bytes(8, "little")  # ends the tables of LevelDB and TensorFlow
_PROTOCOL_0 = re.compile(rb"\((dp|lp|i|c)\d*\n|c(copy_reg|collections|numpy|torch)[\w.]*\n")
# Fields of protocol buffers, (number, wire type): 0 is a number, 2 a message or text.
_ONNX = {(1, 0), (5, 0), *((n, 2) for n in (2, 3, 4, 6, 7, 8, 14, 20, 25, 26))}
_SAVED_MODEL = {(1, 0), (2, 2)}
_GRAPH = {(3, 0), (5, 0), *((n, 2) for n in range(1, 9))}  # TensorFlow's and Paddle's
_MAX_FIELDS = 10_000
_CHECKPOINT = re.compile(r".*\.(pth?|ckpt|bin|pdparams|safetensors|index|npz|h5|onnx)", re.DOTALL)


def name_stranger(data: memoryview) -> str:
    """Return what a file in no supported format is, and what to do, as the end of a sentence."""
    head = bytes(data[:_HEAD])
    for place, magic, message in _MAGIC:
        if head.startswith(magic, place):
            return message
    if _PROTOCOL_0.match(head):
        return "is a pickle of protocol 0: save it again with protocol 2 or newer"
    if is_text(head):
        return _name_text(head)
    if bytes(data[-len(_TABLE) :]) == _TABLE:
        if head[3:4] == b"\x08" or head[4:5] == b"\x08":
            return "is the index of a TensorFlow checkpoint under another name: name it NAME.index"
        return V1
    if not any(head[:16]) and head[20:21] == b"\x08" and head[22:23] == b"\x10":
        return (
            "is Paddle's .pdiparams, a file of tensors without names: save layer.state_dict() "
            "with paddle.save (.pdparams)"
        )
    if re.match(rb"[\x81-\x8f\xde\xdf]", head) and re.match(rb".{1,5}?[\xa1-\xbf]\w", head, re.S):
        return (
            "is msgpack (of flax.serialization): restore it with "
            f"flax.serialization.msgpack_restore, {_FLAX}"
        )
    if found := _name_protobuf(data):
        return found
    return (
        f"has {len(data)} bytes beginning {head[:8].hex(' ')}, as no supported format does: "
        "expected a PyTorch file (zip, legacy, TorchScript), a Paddle file, safetensors or .npz"
    )


def name_folder(path: str | os.PathLike[str]) -> str | None:
    """Return what a folder of another library is, and what to do; None for any other path."""
    inside = set(os.listdir(path)) if os.path.isdir(path) else set[str]()
    if {"run.json", "model.json"} & inside:
        return None
    if {"_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"} & inside:
        return f"is a folder of Orbax: restore it with Orbax, {_FLAX}"
    steps = [name for name in inside if name.isdigit()]
    if any(os.path.isfile(os.path.join(path, n, "_CHECKPOINT_METADATA")) for n in steps[:100]):
        return f"is a folder of Orbax's CheckpointManager: restore a step with Orbax, {_FLAX}"
    return None


def refuse_other_zip(names: Iterable[str]) -> None:
    """Check that an archive with these records is not one of a known other kind.

    Raises:
        CheckpointError: it is.
    """
    files = [name for name in names if not name.endswith("/")]
    if {"config.json", "model.weights.h5"} <= set(files):
        raise CheckpointError(f"is Keras' .keras file: {_SAVE}")
    if any(name.endswith("/model_weights_config.json") for name in files):
        raise CheckpointError(
            "is an archive of torch.export.save: expected a state dict; save "
            "torch.export.load(path).state_dict with torch.save"
        )
    packed = [name for name in files if _CHECKPOINT.fullmatch(name)]
    if packed and not any(name.endswith("/data.pkl") for name in files):
        raise CheckpointError(f"is a zip archive of {packed[0]!r:.200}: {_UNPACK}")


def name_global(module: str, name: str) -> str:
    """Return why a pickle that refers to a global is no dict of arrays, and what to do."""
    library = module.partition(".")[0]
    advice = {
        "torch": "save tensors with torch.save, not with pickle",
        "jax": f"JAX arrays are saved with numpy.savez; or {_FLAX.removeprefix('and ')}",
        "jaxlib": f"JAX arrays are saved with numpy.savez; or {_FLAX.removeprefix('and ')}",
    }.get(library, "save a dict of arrays, as paddle.save does of layer.state_dict()")
    return (
        f"its pickle refers to {f'{module}.{name}'[:200]!r}, which is not part of a dict of "
        f"arrays: refused, nothing was run; {advice}"
    )


def name_foreign_names(names: Iterable[str]) -> str | None:
    """Return which other library numbers its tensors like this, and what to do; None if none."""
    found = list(names)
    if any(name.endswith("/.ATTRIBUTES/VARIABLE_VALUE") for name in found):
        return (
            "holds the objects of TensorFlow 2 (tf.train.Checkpoint, or Keras, which numbers "
            f"them), such as {found[0]!r:.100}: {_SAVE}"
        )
    if found and all(re.fullmatch(r"arr_\d+", name) for name in found):
        return f"holds arrays without names ({found[0]}, ...): {_SAVE}"
    return None


def is_text(head: bytes) -> bool:
    """Return whether a file that begins like this is text."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < _HEAD - 4:  # otherwise the head ends inside a character
            return False
        text = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t" for letter in text)


def _name_text(head: bytes) -> str:
    if head.lstrip().lower().startswith(_WEB_PAGES):
        return (
            "is a web page, not a checkpoint: the download failed; fetch the file itself (a 'raw' "
            "or 'resolve' address, or after signing in)"
        )
    kind = {b"{": "JSON text", b"[": "JSON text", b"<": "XML text"}.get(head.lstrip()[:1], "text")
    return (
        f"is {kind}, beginning {head[:40].decode('utf-8', 'replace')!r}, not weights: give the "
        "file that holds them; if it was downloaded, this may be the server's answer"
    )


def _name_protobuf(data: memoryview) -> str | None:
    """Return what a protocol buffer is by its fields; None if it is none that is known."""
    fields = _fields(data)
    if fields == _SAVED_MODEL:
        return "is TensorFlow's saved_model.pb under another name: give its folder"
    if {(1, 0), (7, 2)} <= fields <= _ONNX:
        return f"is an ONNX model: {_SAVE}"
    if (1, 2) in fields and fields <= _GRAPH:
        return (
            "is a graph (TensorFlow's .pb or .meta, or Paddle's .pdmodel): give the checkpoint's "
            "prefix (train-9, with its .index and .data beside the .meta), or the .pdparams"
        )
    return None


def _fields(data: memoryview) -> set[tuple[int, int]]:
    """Return the fields of a protocol buffer; nothing if the data is none to its very end."""
    fields, at = set[tuple[int, int]](), 0
    for _ in range(_MAX_FIELDS):
        if at == len(data):
            return fields
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or kind not in (0, 1, 2, 5):
            break
        value, after = _varint(data, at) if kind in (0, 2) else (0, at)
        at = after + {0: 0, 1: 8, 2: value, 5: 4}[kind]
        if at > len(data):
            break
        fields.add((number, kind))
    return set()


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number stored as 7 bits per byte, the lowest first, and where it ends."""
    number = 0
    for place, byte in enumerate(bytes(data[at : at + 10])):
        number |= (byte & 127) << 7 * place
        if byte < 128:
            return number, at + place + 1
    return 0, len(data) + 1  # it has no end
