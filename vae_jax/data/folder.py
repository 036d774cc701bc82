"""Pictures in a folder, one subfolder a class: torchvision's `ImageFolder` and `T.Resize`.

The face tutorial (002, section 7.4.1) reads its data with `ImageFolder` and `T.Resize(256)`.
The order of the examples and every pixel are what torchvision gives: listing 7.7 picks faces by
their place in that order. Resizing a folder takes minutes, so `folder:DIR` does it once
(`cache.py`). `stream:DIR` has no cache, for sets that no disk holds decoded: the same pictures are
decoded anew in every epoch, ahead of the step that trains on them.
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
from vae_jax.errors import DataError

# torchvision.datasets.folder.IMG_EXTENSIONS
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# Of a class, its own among them: two links in each of 30 folders make a way to 2**30.
MAX_FOLDERS = 100_000
MAX_DEPTH = 32
# Fewer pictures than this are there before anybody would read a progress bar.
MANY = 500


class Picture(NamedTuple):
    """A file of the folder: its path relative to it, its class, and what tells that it changed."""

    name: str
    label: int
    size: int
    mtime_ns: int


class Folder(NamedTuple):
    """What is known of a folder before any picture is decoded; labels are int32 [N]."""

    path: pathlib.Path
    class_names: tuple[str, ...]
    pictures: tuple[Picture, ...]
    labels: np.ndarray
    attributes: Columns


def open_folder(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Opens a folder of pictures, resized to the model; `test` is None.

    Args:
      source: the source as the user gave it, for the messages.
      place: the folder.
      image_shape: the model's (height, width, channels): 3 channels are RGB, 1 is grey.

    Returns:
      The examples sorted by class name, then by subfolder, then by file name, with the attributes
      of `attributes.csv` if there is one; the images are a read-only memory map of the cache.

    Raises:
      DataError: if there are no class folders, a class has no pictures, a picture cannot be
        read, or the cache cannot be written.
    """
    folder = list_folder(source, place, image_shape)
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
    return Dataset(source, split, None, folder.class_names, fingerprint)


def open_stream(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Opens a folder of pictures as `open_folder`, and decodes none; `test` is None.

    Args:
      source: the source as the user gave it, for the messages.
      place: the folder.
      image_shape: the model's (height, width, channels): 3 channels are RGB, 1 is grey.

    Returns:
      The examples of `folder:`, the images a `Pictures`. The fingerprint is of the classes, the
      image shape, and the pictures' names, classes and sizes in bytes: the pixels are not hashed,
      so that of a picture replaced by another of its size nothing is noticed.

    Raises:
      DataError: as `open_folder`; for a picture that cannot be read, when it is decoded.
    """
    folder = list_folder(source, place, image_shape)
    files = [(p.name.replace(os.sep, "/"), p.label, p.size) for p in folder.pictures]
    described = json.dumps([source.partition(":")[0], folder.class_names, image_shape, files])
    images = _pictures(source, folder, image_shape)
    split = Split(images, folder.labels, folder.attributes)  # pyright: ignore[reportArgumentType]
    fingerprint = hashlib.sha256(described.encode()).hexdigest()[:16]
    return Dataset(source, split, None, folder.class_names, fingerprint)


def list_folder(source: str, place: str, image_shape: tuple[int, int, int]) -> Folder:
    """Lists a folder, and reads its attributes.

    Raises:
      DataError: as `open_folder`, for what is wrong beside the pictures' contents.
    """
    if image_shape[2] not in (1, 3):
        raise DataError(f"{source}: pictures have 1 or 3 channels, the model {image_shape[2]}")
    path = pathlib.Path(os.path.abspath(pathlib.Path(place).expanduser()))
    class_names, pictures = list_pictures(source, path)
    labels = np.array([picture.label for picture in pictures], np.int32)
    columns = read_attributes(source, path, [picture.name for picture in pictures])
    return Folder(path, class_names, pictures, labels, columns)


def list_pictures(source: str, folder: pathlib.Path) -> tuple[tuple[str, ...], tuple[Picture, ...]]:
    """Lists the classes and the pictures in `ImageFolder`'s order.

    Raises:
      DataError: as `open_folder`.
    """
    try:
        if not folder.is_dir():
            raise DataError(
                f"{source}: there is no folder {str(folder)!r}; name yours with --data folder:DIR"
            )
        names = tuple(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()))
        if not names:
            raise DataError(
                f"{source}: {str(folder)!r} has no subfolders: expected one a class, such as"
                " DIR/glasses/1.jpg and DIR/no_glasses/2.jpg"
            )
        pictures: list[Picture] = []
        for label, name in enumerate(names):
            # The folders are sorted as whole strings, as torchvision's sorted(os.walk()) does:
            # "a-b" comes before "a/b".
            inside = _walk(source, str(folder / name), ancestors=())
            found = sorted(itertools.islice(inside, MAX_FOLDERS + 1))
            if len(found) > MAX_FOLDERS:
                raise DataError(
                    f"{source}: the class folder {name!r} holds more than {MAX_FOLDERS} folders,"
                    " as links that lead to each other make: take them away"
                )
            before = len(pictures)
            for parent, files in found:
                for file in sorted(files):
                    path = os.path.join(parent, file)
                    status = os.stat(path)
                    relative = os.path.relpath(path, folder)
                    pictures.append(Picture(relative, label, status.st_size, status.st_mtime_ns))
            if len(pictures) == before:
                raise DataError(
                    f"{source}: the class folder {name!r} holds no pictures"
                    f" ({' '.join(EXTENSIONS)}): fill it or take it away"
                )
    except OSError as error:
        raise DataError(f"{source}: cannot be listed: {error}") from error
    return names, tuple(pictures)


def _walk(
    source: str, folder: str, ancestors: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, list[str]]]:
    """Yields each folder with the names of its pictures, following links as `ImageFolder` does.

    A link back to a folder that it lies in is left out, where os.walk would go round until the
    path is too long.
    """
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in ancestors:
        return
    if len(ancestors) > MAX_DEPTH:
        raise DataError(f"{source}: has folders over {MAX_DEPTH} deep: expected one a class")
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
    """Yields the pictures in order; a few at a time are in memory."""
    import tqdm

    disable = True if len(pictures) < MANY else None  # None: silent unless on a terminal
    with (
        contextlib.closing(iter(pictures)) as decoded,
        tqdm.tqdm(total=len(pictures), desc="resizing", unit="picture", disable=disable) as bar,
    ):
        for image in decoded:
            yield image
            bar.update()
