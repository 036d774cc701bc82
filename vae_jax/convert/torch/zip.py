"""Read the zip files of ``torch.save`` and ``torch.jit.ScriptModule.save``.

Both hold ``NAME/data.pkl`` and the storages ``NAME/data/KEY``. A TorchScript archive also holds
the code of its modules, of which only the lists of parameters and buffers are read: they determine
which tensor attributes belong to the state dict. None of the code is run.

Source: ``torch/serialization.py`` and ``torch/csrc/jit/serialization/export_module.cpp`` define
the layout.
"""

from __future__ import annotations

import re

from vae_jax.convert.pickle.arrays import number_array, settle_arrays
from vae_jax.convert.pickle.opcodes import load_pickle
from vae_jax.convert.pickle.values import Record
from vae_jax.convert.strangers import refuse_other_zip
from vae_jax.convert.tensors import Storage, StorageView, Tensor
from vae_jax.convert.torch.globals import (
    KEEP_OVER,
    find_global,
    find_scripted_global,
    parse_storage_id,
)
from vae_jax.convert.torch.records import ZipRecords
from vae_jax.errors import CheckpointError

MAX_COST = 16 << 20  # characters of names, plus 100 per name
MAX_NAME = 1024

_CLASS = re.compile(
    r"^class (\w+)\(Module\):\n"
    r"  __parameters__ = \[([^\]\n]*)\]\n"  # one line only, else a search per class is endless
    r"(?:  __buffers__ = (\[[^\]\n]*\])\n)?",
    re.MULTILINE,
)
_QUOTED = re.compile(r'"([^"]*)"')


def read_torch_zip(data: memoryview) -> object:
    """Read a zip checkpoint.

    Args:
        data: the file's bytes.

    Returns:
        The saved object: for a state dict or training checkpoint plain containers with ``Tensor``
        leaves, for TorchScript a flat dict of dotted names.

    Raises:
        CheckpointError: the file is damaged, hostile or not PyTorch's.
    """
    records = ZipRecords(data)
    refuse_other_zip(records.names)
    pickles = [name for name in records.names if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1:
        some = ", ".join(map(repr, records.names[:3])) or "nothing"
        raise CheckpointError(
            f"is a zip archive of {some}, with {len(pickles)} records named 'NAME/data.pkl': "
            "expected the one that torch.save writes"
        )
    folder = pickles[0].removesuffix("data.pkl")
    scripted = folder + "constants.pkl" in records.names
    big_endian = _is_big_endian(records, folder)
    storages: dict[str, Storage] = {}

    def find_persistent(identifier: object) -> StorageView:
        dtype, key, size, view = parse_storage_id(identifier)
        name = f"{folder}data/{key}"
        if not records.is_stored(name) or view is not None:
            raise CheckpointError(
                f"its storage {name[:80]!r} is missing or compressed: expected an uncompressed "
                "record; save the file again with torch.save"
            )
        if key not in storages:
            storages[key] = Storage(lambda: records.read(name), big_endian)
        if records.size(name) != size:
            raise CheckpointError(
                f"its storage {name[:80]!r} has {records.size(name)} bytes, but its pickle says "
                f"{size}: the file is damaged"
            )
        return StorageView(storages[key], dtype, 0, size)

    content = records.read(pickles[0])
    globals_of = find_scripted_global if scripted else find_global
    root, end = load_pickle(content, 0, globals_of, find_persistent, keep_over=KEEP_OVER)
    if end != len(content):
        raise CheckpointError(f"its data.pkl ends at byte {end} of {len(content)}: damaged")
    if scripted:
        return _flatten(root, _state_names(records, folder))
    return settle_arrays(root, number_array)


def _is_big_endian(records: ZipRecords, folder: str) -> bool:
    if folder + "byteorder" not in records.names:
        return False  # PyTorch before 2.1, on little-endian machines
    order = bytes(records.read(folder + "byteorder")[:16])
    if order not in (b"little", b"big"):
        raise CheckpointError(f"its byte order is {order!r}: expected b'little' or b'big'")
    return order == b"big"


def _state_names(records: ZipRecords, folder: str) -> dict[str, list[str] | None]:
    """Return the names of each scripted class's tensors; None if old code does not list them."""
    states: dict[str, list[str] | None] = {}
    for name in records.names:
        if name.startswith(folder + "code/__torch__") and name.endswith(".py"):
            module = name.removeprefix(folder + "code/").removesuffix(".py").replace("/", ".")
            code = str(records.read(name), "utf-8", "replace")
            for label, parameters, buffers in _CLASS.findall(code):
                listed = _QUOTED.findall(parameters + buffers) if buffers else None
                states[f"{module}.{label}"] = listed
    return states


def _flatten(root: object, states: dict[str, list[str] | None]) -> dict[str, Tensor]:
    """Return the state dict of a tree of scripted modules: own tensors first, then children's."""
    if type(root) is not Record:
        raise CheckpointError("is a TorchScript archive without a module: nothing to read")
    tensors: dict[str, Tensor] = {}
    waiting = [("", root)]
    cost = 0
    while waiting:
        prefix, module = waiting.pop()
        listed = states.get(module.name)
        names = module.attributes if listed is None else listed
        # A file can refer to one module many times, so there can be more paths than bytes.
        cost += (len(prefix) + 100) * (1 + len(names) + len(module.attributes))
        cost += sum(len(name) for name in (*names, *module.attributes) if type(name) is str)
        if cost > MAX_COST or len(prefix) > MAX_NAME:
            raise CheckpointError("holds too many nested TorchScript modules: refused")
        for name in names:
            value = module.attributes.get(name)
            if type(name) is str and type(value) is Tensor:
                tensors[prefix + name] = value
        children = [
            (f"{prefix}{name}.", child)
            for name, child in module.attributes.items()
            if type(name) is str and type(child) is Record and child.name in states
        ]
        waiting.extend(reversed(children))
    return tensors
