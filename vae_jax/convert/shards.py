"""Read the index of a checkpoint in several files, ``model.safetensors.index.json``.

The index is JSON, ``{"metadata": ..., "weight_map": {tensor name: file name}}``; the files, named
``model-00001-of-00003.safetensors`` (or ``.bin``, PyTorch's), lie beside it.

Source: ``huggingface_hub/serialization`` writes such files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from vae_jax.convert.errors import damaged
from vae_jax.convert.plain import PlainDict, is_dict
from vae_jax.errors import CheckpointError
from vae_jax.typing import Tensors

MAX_INDEX = 16 << 20  # bytes; an index of 10,000 tensors takes 1 MB
MAX_SHARDS = 1000
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(\w+)")
_damaged = partial(damaged, "index of shards", "a weight_map of tensor names to file names")


class ShardIndex(NamedTuple):
    """The names of a checkpoint's files, each with the names of its tensors."""

    files: dict[str, set[str]]


def is_index(head: bytes) -> bool:
    """Return whether a file that begins like this is an index."""
    return head.lstrip()[:1] == b"{" and b'"weight_map"' in head


def read_index(data: memoryview) -> ShardIndex:
    """Read an index.

    Raises:
        CheckpointError: it is damaged, or names files elsewhere.
    """
    if len(data) > MAX_INDEX:
        raise _damaged(f"it has {len(data)} bytes, the limit is {MAX_INDEX}")
    try:
        root: object = json.loads(str(data, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(f"it is not JSON: {error}") from error
    table = root.get("weight_map") if is_dict(root) else None
    files: dict[str, set[str]] = {}
    for name, file in (table if is_dict(table) else PlainDict()).items():
        if type(name) is not str or type(file) is not str or not re.fullmatch(r"[\w.-]+", file):
            raise _damaged(f"it has {name!r:.80} in {file!r:.80}, which is no file beside it")
        files.setdefault(file, set()).add(name)
    if not 0 < len(files) <= MAX_SHARDS:
        raise _damaged(f"it names {len(files)} files, expected 1 to {MAX_SHARDS}")
    return ShardIndex(files)


def read_shards(
    path: str | os.PathLike[str], index: ShardIndex, read: Callable[[str], Tensors]
) -> Tensors:
    """Read the files that an index names, and check that they hold the tensors that it names.

    Args:
        path: the index.
        index: its contents.
        read: reads one file.

    Raises:
        CheckpointError: a file is missing, unreadable, or holds other tensors.
    """
    tensors: dict[str, np.ndarray] = {}
    for file, names in index.files.items():
        shard = os.path.join(os.path.dirname(path), file)
        if not os.path.isfile(shard):
            raise CheckpointError(
                f"names the file {file!r:.200}, which is missing: expected it beside this index; "
                "fetch all files"
            )
        try:
            found = read(shard)
        except CheckpointError as error:
            raise CheckpointError(f"names the file {file!r:.200}, which {error}") from error
        if odd := sorted(found.keys() ^ names):
            raise CheckpointError(
                f"names {len(names)} tensors of the file {file!r:.200}, which holds {len(found)} "
                f"({odd[0]!r:.80} is in one only): expected the same; fetch all files again"
            )
        tensors |= found
    return tensors


def index_of_shard(path: str | os.PathLike[str]) -> str | None:
    """Return the name of the index of which a file is one of several shards, by its name.

    >>> index_of_shard("a/model-00001-of-00003.safetensors")
    'model.safetensors.index.json'
    """
    found = _SHARD.fullmatch(os.path.basename(path))
    return f"{found[1]}.{found[4]}.index.json" if found and int(found[3]) > 1 else None
