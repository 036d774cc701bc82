"""Find the pictures of a folder that cannot be read, to leave them out."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Sequence

from vae_jax.data.cache import VERSION, cache_folder
from vae_jax.data.decode import map_by_threads
from vae_jax.data.picture import open_picture, silence_pillow
from vae_jax.errors import DataError
from vae_jax.files import write_atomically

_SHAPE = (8, 8, 3)  # any: the whole picture is decoded first


def unreadable_names(
    source: str, folder: pathlib.Path, files: Sequence[tuple[str, int, int]]
) -> set[str]:
    """Return the names of the pictures that cannot be read.

    Each is decoded once; the cache remembers which could not be, until a file changes.

    Args:
        source: the source as the user gave it, for error messages.
        folder: the pictures' folder.
        files: their paths in it, with size and time of the last change.
    """
    described = json.dumps([VERSION, str(folder), files]).encode()
    memory = cache_folder() / f"unreadable-{hashlib.sha256(described).hexdigest()[:20]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return set(json.loads(memory.read_text()))

    def fails(name: str) -> bool:
        try:
            open_picture(source, folder / name, _SHAPE)
        except DataError:
            return True
        return False

    silence_pillow()  # before there are threads
    names = [name for name, _, _ in files]
    failed = map_by_threads(fails, names, ahead=64)
    found = {name for name, bad in zip(names, failed, strict=True) if bad}
    with contextlib.suppress(OSError):  # without the memory they are decoded again
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, json.dumps(sorted(found)) + "\n")
    return found
