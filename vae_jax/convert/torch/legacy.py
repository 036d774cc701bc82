"""Read the file format of ``torch.save`` before PyTorch 1.6, still written on request.

A file has five pickles (a magic number, the protocol, facts about the machine, the saved object,
the storages' keys in order), then every storage as its number of elements in eight bytes and the
elements, little-endian. The format has no checksum: a flipped bit in the elements goes undetected.

Source: ``_legacy_save`` in ``torch/serialization.py`` defines the layout.
"""

from __future__ import annotations

from functools import partial

from vae_jax.convert.errors import damaged
from vae_jax.convert.pickle.arrays import number_array, settle_arrays
from vae_jax.convert.pickle.opcodes import load_pickle
from vae_jax.convert.plain import is_dict, is_list, is_tuple, items_of
from vae_jax.convert.tensors import Storage, StorageView
from vae_jax.convert.torch.globals import KEEP_OVER, find_global, parse_storage_id

MAGIC = 0x1950A86A20F9469CFC6C
MAGIC_BYTES = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
PROTOCOL = 1001
_damaged = partial(damaged, "PyTorch file", "the format before PyTorch 1.6")


class _Block:
    """A storage whose position is only known after the main pickle."""

    def __init__(self, item: int, size: int):
        self.item = item
        self.size = size
        self.content: memoryview | None = None
        self.storage = Storage(self._fetch)

    def _fetch(self) -> memoryview:
        if self.content is None:
            raise _damaged("a storage that its tensors use is missing")
        return self.content


def read_torch_legacy(data: memoryview) -> object:
    """Read a file of the older format.

    Args:
        data: the file's bytes.

    Returns:
        The saved object, as plain containers with ``Tensor`` leaves.

    Raises:
        CheckpointError: the file is damaged or hostile.
    """
    blocks: dict[str, _Block] = {}

    def find_persistent(identifier: object) -> StorageView:
        dtype, key, size, view = parse_storage_id(identifier)
        item = 1 if dtype is None else dtype.itemsize
        block = blocks.setdefault(key, _Block(item, size))
        if (block.item, block.size) != (item, size):
            raise _damaged(f"storage {key[:40]!r} is described in two ways")
        start, stop = 0, size
        if view is not None:
            match view if is_tuple(view) else ():
                case (str(), int(first), int(count)) if first >= 0 and count >= 0:
                    start, stop = first * item, (first + count) * item
                case _:
                    raise _damaged("a view of a storage is described in an unknown way")
        if stop > size:
            raise _damaged(f"a view reaches byte {stop} of a storage of {size} bytes")
        return StorageView(block.storage, dtype, start, stop - start)

    magic, at = load_pickle(data, 0, find_global)
    protocol, at = load_pickle(data, at, find_global)
    machine, at = load_pickle(data, at, find_global)
    if magic != MAGIC or protocol != PROTOCOL:
        raise _damaged(f"its protocol is not {PROTOCOL}")
    if not is_dict(machine) or machine.get("little_endian") is not True:
        raise _damaged("it does not say that it was written on a little-endian machine")
    root, at = load_pickle(data, at, find_global, find_persistent, keep_over=KEEP_OVER)
    listed, at = load_pickle(data, at, find_global)
    keys = [key for _, key in items_of(listed) if type(key) is str]
    if not is_list(listed) or len(keys) < len(listed):
        raise _damaged("its list of storages is malformed")
    if sorted(keys) != sorted(blocks):
        raise _damaged(f"it lists {len(keys)} storages, but its tensors use {len(blocks)} others")
    for key in keys:
        at = _place(data, at, key, blocks[key])
    if at != len(data):
        raise _damaged(f"{len(data) - at} bytes follow the last storage")
    return settle_arrays(root, number_array)


def _place(data: memoryview, at: int, key: str, block: _Block) -> int:
    """Locate a storage's elements at a position; return the position after them."""
    count = int.from_bytes(data[at : at + 8], "little")
    start, stop = at + 8, at + 8 + block.size
    if start > len(data) or count * block.item != block.size:
        raise _damaged(
            f"storage {key[:40]!r} declares {count} elements where its tensors need "
            f"{block.size // block.item}"
        )
    if stop > len(data):
        raise _damaged(f"storage {key[:40]!r} ends at byte {stop} of {len(data)}")
    block.content = data[start:stop]
    return stop
