"""Cache decoded pictures: one folder per data set, with the pixels as a .npy file and an index.

An entry is written under another name and renamed when complete, so no incomplete entry is ever
seen, however a run ends and however many run at once. It is checked against its own hash whenever
it is opened. The whole cache can be deleted at any time.

A data set may be larger than memory: its pixels are memory-mapped, and the kernel drops the clean
pages when it needs space. Two epochs over 384 MB added 5 MB to the process's private memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterable

import numpy as np

from vae_jax.data.dataset import Split, describe_shape, fingerprint
from vae_jax.errors import DataError
from vae_jax.files import PARTIAL, explain_errors, hidden_folder, require_local

VERSION = 2  # increase it whenever decoding, resizing or the layout of an entry changes
STALE_SECONDS = 24 * 3600  # age of an interrupted run's files that a later run deletes


@dataclasses.dataclass(frozen=True, eq=False)
class Content:
    """The contents of a cache entry, and what they were made from.

    Attributes:
        name: a readable beginning for the entry's name.
        where: identifies the source; an entry replaces older ones of the same source.
        what: everything whose change makes the entry stale.
        class_names: the classes.
        labels: int32 [N].
        image_shape: (height, width, channels) of the images.
    """

    name: str
    where: object
    what: object
    class_names: tuple[str, ...]
    labels: np.ndarray
    image_shape: tuple[int, int, int]


def cache_folder() -> pathlib.Path:
    """Return ``$VAE_JAX_CACHE``, ``$XDG_CACHE_HOME/vae_jax`` or ``~/.cache/vae_jax``."""
    if own := os.environ.get("VAE_JAX_CACHE"):
        require_local(own)
        return pathlib.Path(own).expanduser().absolute()
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vae_jax"


def open_cached(
    source: str, content: Content, decode: Callable[[], Iterable[np.ndarray]]
) -> tuple[np.ndarray, str]:
    """Return images from the cache, after decoding them if the entry is missing or damaged.

    Args:
        source: the source as the user gave it, for error messages.
        content: the expected contents of the entry.
        decode: yields the images in order, uint8 [H, W, C].

    Returns:
        The images, uint8 [N, H, W, C], mapped read-only, and their fingerprint.

    Raises:
        DataError: the cache cannot be written; or as ``decode``.
    """
    root = cache_folder()
    place = f"{content.name[:40]}-{describe_shape(content.image_shape)}-{_hash(content.where)[:8]}"
    entry = root / f"{place}-{_hash([VERSION, content.where, content.what])[:20]}"
    if (cached := _read(entry, content)) is not None:
        return cached
    found = f"{source}: cannot write the cache of resized pictures in {root}"
    advice = "make room, or set VAE_JAX_CACHE to a folder on another disk"
    with explain_errors(DataError, found, advice):
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with hidden_folder(root) as folder:
            (partial := folder / entry.name).mkdir()
            _write(partial, content, decode())
            _publish(partial, entry, content)
        cached = _read(entry, content)
    if cached is None:
        raise DataError(f"{source}: the cache entry {entry} was changed meanwhile: try again")
    for other in root.glob(f"{glob.escape(place)}-*"):
        if other != entry:
            shutil.rmtree(other, ignore_errors=True)  # an older state of the same source
    return cached


def _read(entry: pathlib.Path, content: Content) -> tuple[np.ndarray, str] | None:
    """Read an entry; return None if it is missing, damaged or another one."""
    try:
        stored = json.loads((entry / "index.json").read_text())["fingerprint"]
        images = np.load(entry / "images.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    if images.dtype != np.uint8 or images.shape != (len(content.labels), *content.image_shape):
        return None
    found = fingerprint(Split(images, content.labels), None, content.class_names)
    return (images, found) if found == stored else None


def _write(partial: pathlib.Path, content: Content, images: Iterable[np.ndarray]) -> None:
    shape = (len(content.labels), *content.image_shape)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    # Write a stream instead of a memory map, which would kill the process on a full disk.
    with (partial / "images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for image in images:
            file.write(np.ascontiguousarray(image, np.uint8).data)
        file.flush()
        os.fsync(file.fileno())  # the rename must not reach the disk before the pixels
    written = np.load(partial / "images.npy", mmap_mode="r", allow_pickle=False)
    index = {
        "fingerprint": fingerprint(Split(written, content.labels), None, content.class_names),
        "source": content.where,
        "class_names": content.class_names,
        "num_images": shape[0],
        "image_shape": content.image_shape,
    }
    (partial / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def _publish(partial: pathlib.Path, entry: pathlib.Path, content: Content) -> None:
    try:
        partial.rename(entry)
    except OSError:
        # The entry exists already: another run was faster, or it is damaged.
        if _read(entry, content) is not None:
            return
        shutil.rmtree(entry, ignore_errors=True)
        partial.rename(entry)


def _sweep(root: pathlib.Path) -> None:
    for partial in root.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(partial, ignore_errors=True)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
