"""Open a folder of pictures, one subfolder per class, like torchvision's ``ImageFolder``.

A folder without subfolders is a data set of one class.

The face tutorial (002, section 7.4.1) reads its data with ``ImageFolder`` and ``T.Resize(256)``.
The order of the examples and every pixel equal torchvision's, because listing 7.7 picks faces by
their number in that order. Resizing a folder takes minutes, so ``folder:DIR`` does it once (see
``cache.py``). ``stream:DIR`` has no cache, for data too large to store decoded: the pictures are
decoded in every epoch, ahead of the step that trains on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vae_jax.data import cache
from vae_jax.data.attributes import Columns, read_attributes
from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.decode import Pictures
from vae_jax.data.describe import describe_pictures
from vae_jax.data.unreadable import unreadable_names
from vae_jax.errors import DataError

ONE_CLASS = "pictures"  # the class of a folder without subfolders, whatever its own name
# torchvision.datasets.folder.IMG_EXTENSIONS
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
MAX_FOLDERS = 100_000  # per class, because two links in each of 30 folders give 2**30 paths
MAX_DEPTH = 32
MANY = 500  # fewer pictures are decoded too fast for a progress bar


class Picture(NamedTuple):
    """A file of the folder: relative path, class, and what shows that it changed."""

    name: str
    label: int
    size: int
    mtime_ns: int


class Folder(NamedTuple):
    """A folder's contents before any picture is decoded; labels are int32 [N]."""

    path: pathlib.Path
    class_names: tuple[str, ...]
    pictures: tuple[Picture, ...]
    labels: np.ndarray
    attributes: Columns
    description: str


def open_folder(
    source: str, place: str, image_shape: tuple[int, int, int], *, skip_unreadable: bool = False
) -> Dataset:
    """Open a folder of pictures, resized to the model; ``test`` is None.

    Args:
        source: the source as the user gave it, for error messages.
        place: the folder.
        image_shape: the model's (height, width, channels): 3 channels are RGB, 1 is grey.
        skip_unreadable: leave out the pictures that cannot be read.

    Returns:
        The examples sorted by class name, then by subfolder, then by file name, with the attributes
        of ``attributes.csv`` if it exists; the images are a read-only memory map of the cache.

    Raises:
        DataError: there are no pictures, a class has none, a picture cannot be read, or the cache
            cannot be written.
    """
    folder = list_folder(source, place, image_shape, skip_unreadable)
    content = cache.Content(
        name=folder.path.name,
        where=(str(folder.path), image_shape),
        what=(folder.class_names, folder.pictures),
        class_names=folder.class_names,
        labels=folder.labels,
        image_shape=image_shape,
    )
    pictures = _pictures(source, folder, image_shape)
    images, fingerprint = cache.open_cached(source, content, lambda: _with_progress(pictures))
    split = Split(images, folder.labels, folder.attributes)
    return Dataset(source, split, None, folder.class_names, fingerprint, folder.description)


def open_stream(
    source: str, place: str, image_shape: tuple[int, int, int], *, skip_unreadable: bool = False
) -> Dataset:
    """Open a folder like ``open_folder``, but decode the pictures when they are indexed.

    Args:
        source: the source as the user gave it, for error messages.
        place: the folder.
        image_shape: the model's (height, width, channels): 3 channels are RGB, 1 is grey.
        skip_unreadable: leave out the pictures that cannot be read.

    Returns:
        The examples of ``folder:``, with ``Pictures`` as images. The fingerprint covers the
        classes, the image shape, and the pictures' names, classes and sizes in bytes, but not the
        pixels: it does not change if a picture is replaced by another of the same size.

    Raises:
        DataError: as in ``open_folder``; a picture that cannot be read raises when it is decoded.
    """
    folder = list_folder(source, place, image_shape, skip_unreadable)
    files = [(p.name.replace(os.sep, "/"), p.label, p.size) for p in folder.pictures]
    described = json.dumps([source.partition(":")[0], folder.class_names, image_shape, files])
    images = _pictures(source, folder, image_shape)
    split = Split(images, folder.labels, folder.attributes)  # pyright: ignore[reportArgumentType]
    fingerprint = hashlib.sha256(described.encode()).hexdigest()[:16]
    return Dataset(source, split, None, folder.class_names, fingerprint, folder.description)


def list_folder(
    source: str, place: str, image_shape: tuple[int, int, int], skip_unreadable: bool
) -> Folder:
    """List a folder, and read its attributes.

    Raises:
        DataError: as in ``open_folder``, except for what decoding finds.
    """
    if image_shape[2] not in (1, 3):
        raise DataError(f"{source}: pictures have 1 or 3 channels, the model {image_shape[2]}")
    path = pathlib.Path(os.path.abspath(pathlib.Path(place).expanduser()))
    class_names, listed = list_pictures(source, path)
    pictures = listed
    if skip_unreadable:
        bad = unreadable_names(source, path, [(p.name, p.size, p.mtime_ns) for p in listed])
        pictures = tuple(picture for picture in listed if picture.name not in bad)
    if not pictures:
        raise DataError(f"{source}: none of the {len(listed)} pictures can be read")
    labels = np.array([picture.label for picture in pictures], np.int32)
    names = [picture.name for picture in pictures]
    columns = read_attributes(source, path, names)
    skipped = len(listed) - len(pictures)
    description = describe_pictures(path, names, image_shape, skipped, EXTENSIONS)
    return Folder(path, class_names, pictures, labels, columns, description)


def list_pictures(source: str, folder: pathlib.Path) -> tuple[tuple[str, ...], tuple[Picture, ...]]:
    """List the classes and the pictures in ``ImageFolder``'s order.

    Raises:
        DataError: as in ``open_folder``.
    """
    try:
        if not folder.is_dir():
            raise DataError(
                f"{source}: there is no folder {str(folder)!r}; name yours with --data folder:DIR"
            )
        names = tuple(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()))
        classes = [(name, _pictures_of(source, folder, name)) for name in names]
        # Programs leave hidden folders behind, such as .ipynb_checkpoints.
        classes = [(name, found) for name, found in classes if found or not name.startswith(".")]
        if not any(found for _, found in classes):
            classes = [(ONE_CLASS, _pictures_of(source, folder, ""))] * bool(_files(folder))
        if not classes:
            raise DataError(
                f"{source}: {str(folder)!r} has no subfolders and no pictures: expected pictures,"
                " or one subfolder per class, such as DIR/glasses/1.jpg and DIR/no_glasses/2.jpg"
            )
        pictures: list[Picture] = []
        for label, (name, found) in enumerate(classes):
            if not found:
                raise DataError(
                    f"{source}: the class folder {name!r} holds no pictures"
                    f" ({' '.join(EXTENSIONS)}): fill it or remove it"
                )
            for path in found:
                status = os.stat(path)
                relative = os.path.relpath(path, folder)
                pictures.append(Picture(relative, label, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise DataError(f"{source}: cannot be listed: {error}") from error
    return tuple(name for name, _ in classes), tuple(pictures)


def _pictures_of(source: str, folder: pathlib.Path, name: str) -> list[str]:
    """List the pictures of a class folder in ``ImageFolder``'s order.

    The folders are sorted as whole strings, as torchvision's sorted(os.walk()) does: "a-b" comes
    before "a/b".
    """
    inside = _walk(source, str(folder / name), ancestors=())
    found = sorted(itertools.islice(inside, MAX_FOLDERS + 1))
    if len(found) > MAX_FOLDERS:
        raise DataError(
            f"{source}: the class folder {name!r} holds more than {MAX_FOLDERS} folders,"
            " probably links to each other: remove them"
        )
    return [os.path.join(parent, file) for parent, files in found for file in sorted(files)]


def _files(folder: pathlib.Path) -> list[str]:
    return [e.name for e in os.scandir(folder) if e.name.lower().endswith(EXTENSIONS)]


def _walk(
    source: str, folder: str, ancestors: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder with the names of its pictures, following links as ``ImageFolder`` does.

    A link to one of its own parents is skipped; os.walk would follow it until the path is too long.
    """
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in ancestors:
        return
    if len(ancestors) > MAX_DEPTH:
        raise DataError(f"{source}: has folders over {MAX_DEPTH} deep: expected one per class")
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(source, entry.path, (*ancestors, identity))
            elif entry.name.lower().endswith(EXTENSIONS):
                files.append(entry.name)
    yield folder, files


def _pictures(source: str, folder: Folder, image_shape: tuple[int, int, int]) -> Pictures:
    names = [picture.name for picture in folder.pictures]
    return Pictures(source, folder.path, names, image_shape)


def _with_progress(pictures: Pictures) -> Iterator[np.ndarray]:
    """Yield the pictures in order, with a progress bar, keeping only a few in memory."""
    import tqdm

    disable = True if len(pictures) < MANY else None  # None: silent unless on a terminal
    with (
        contextlib.closing(iter(pictures)) as decoded,
        tqdm.tqdm(total=len(pictures), desc="resizing", unit="picture", disable=disable) as bar,
    ):
        for image in decoded:
            yield image
            bar.update()
