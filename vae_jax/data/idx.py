"""Read MNIST's file format, IDX (http://yann.lecun.com/exdb/mnist/), gzipped or not.

Fashion-MNIST and KMNIST use the same files under the same names, and Debian packages
Fashion-MNIST (``apt-get install dataset-fashion-mnist``, into /usr/share/datasets/fashion-mnist).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import pathlib
import struct
import zlib

import numpy as np

from vae_jax.data.dataset import Dataset, Split, make_dataset, require_shape
from vae_jax.errors import DataError

UNSIGNED_BYTE = 0x08
# Deflate cannot expand data more than this, so a header that states more is wrong.
MAX_GZIP_RATIO = 1032

Stream = gzip.GzipFile | io.BufferedReader


def open_idx(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Open a folder of IDX files.

    The ``train`` files are the training set and the ``t10k`` files the test set. If the folder
    holds only one of the pairs, it is the training set and ``test`` is None.

    Args:
        source: the source as the user gave it, for error messages.
        place: the folder.
        image_shape: the model's (height, width, channels).

    Raises:
        DataError: a file is missing, damaged, or not what its name or its header says.
    """
    folder = pathlib.Path(place).expanduser()
    if not folder.is_dir():
        raise DataError(f"{source}: there is no folder {folder}: give the folder of the IDX files")
    parts = [_open_pair(source, folder, prefix, image_shape) for prefix in ("train", "t10k")]
    pairs = [part for part in parts if part is not None]
    if not pairs:
        raise DataError(
            f"{source}: no IDX files in {folder}: expected train-images-idx3-ubyte and"
            " train-labels-idx1-ubyte, or the t10k pair, each plain or .gz"
        )
    num_classes = max(int(pair.labels.max()) for pair in pairs) + 1
    names = tuple(str(label) for label in range(num_classes))
    return make_dataset(source, pairs[0], pairs[1] if len(pairs) == 2 else None, names)


def _open_pair(
    source: str, folder: pathlib.Path, prefix: str, image_shape: tuple[int, int, int]
) -> Split | None:
    image_path = _find(folder, f"{prefix}-images", "idx3-ubyte")
    label_path = _find(folder, f"{prefix}-labels", "idx1-ubyte")
    if image_path is None and label_path is None:
        return None
    if image_path is None or label_path is None:
        found, missing = (label_path, "images") if image_path is None else (image_path, "labels")
        raise DataError(
            f"{source}: {found} exists but the {prefix}-{missing} file does not:"
            " put both files of the pair in the folder"
        )
    labels = read_idx(label_path, num_dimensions=1)
    images = read_idx(image_path, num_dimensions=3, image_shape=image_shape)[..., None]
    if len(images) != len(labels):
        raise DataError(
            f"{source}: {image_path} holds {len(images)} images but {label_path} holds"
            f" {len(labels)} labels: the two files do not belong together"
        )
    return Split(images, labels.astype(np.int32))


def _find(folder: pathlib.Path, stem: str, kind: str) -> pathlib.Path | None:
    # Both spellings are common: some unpackers turn the first into the second.
    for name in (f"{stem}-{kind}", f"{stem}.{kind}"):
        for suffix in ("", ".gz"):
            if (folder / (name + suffix)).is_file():
                return folder / (name + suffix)
    return None


def read_idx(
    path: pathlib.Path, *, num_dimensions: int, image_shape: tuple[int, int, int] | None = None
) -> np.ndarray:
    """Read one IDX file of bytes; check its header before allocating memory.

    Args:
        path: the file; gzip is detected by its first bytes, not by its name.
        num_dimensions: 1 for labels, 3 for images.
        image_shape: the required (height, width, channels) of images, which are grey.

    Returns:
        uint8, in the shape that the header states.

    Raises:
        DataError: the header is not that of such a file, or the contents are shorter or longer
            than it states.
    """
    try:
        with _open(path) as (stream, most_bytes):
            shape = _read_header(path, stream, num_dimensions)
            if image_shape is not None:
                require_shape(str(path), (*shape[1:], 1), image_shape)
            if math.prod(shape) > most_bytes:
                raise DataError(
                    f"{path} is truncated or not an IDX file: its header states {math.prod(shape)}"
                    " bytes, more than it can hold: fetch it again"
                )
            array = np.empty(shape, np.uint8)
            num_read = _read_into(stream, array)
            if num_read < array.size:
                raise DataError(
                    f"{path} is truncated: {num_read} of the {array.size} bytes that its header"
                    " states: fetch it again"
                )
            # Read one byte more, not the rest, so that a bomb unpacks no further.
            if stream.read(1):
                raise DataError(
                    f"{path} continues after the {array.size} bytes that its header states:"
                    " it is damaged or not an IDX file"
                )
            return array
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise DataError(f"{path}: cannot be read ({error}): fetch it again") from error


def _read_header(path: pathlib.Path, stream: Stream, num_dimensions: int) -> tuple[int, ...]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise DataError(
            f"{path} starts with the bytes {head.hex(' ')!r}, expected '00 00 08' of an IDX file:"
            " fetch it again"
        )
    if head[2] != UNSIGNED_BYTE:
        raise DataError(f"{path} holds data of type 0x{head[2]:02x}, expected bytes (0x08)")
    if head[3] != num_dimensions:
        raise DataError(
            f"{path} holds arrays of {head[3]} dimensions, expected {num_dimensions}:"
            " images have 3 and labels 1; are the two files swapped?"
        )
    sizes = stream.read(4 * num_dimensions)
    if len(sizes) < 4 * num_dimensions:
        raise DataError(f"{path} is truncated: it ends within its header: fetch it again")
    shape = struct.unpack(f">{num_dimensions}I", sizes)
    if 0 in shape:
        raise DataError(f"{path} is empty: its header states the shape {shape}")
    return shape


@contextlib.contextmanager
def _open(path: pathlib.Path):
    """Yield a stream of the file's contents and the most bytes that it can hold."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if is_gzip:
            with gzip.GzipFile(fileobj=raw) as stream:
                yield stream, size * MAX_GZIP_RATIO
        else:
            yield raw, size


def _read_into(stream: Stream, array: np.ndarray) -> int:
    view = array.reshape(-1).data
    num_read = 0
    # Read in pieces: the kernel allocates the pages of ``array`` when they are written, so a header
    # that overstates the size takes no more memory than the file's contents.
    while num_read < len(view) and (
        count := stream.readinto(view[num_read : num_read + (1 << 20)])
    ):
        num_read += count
    return num_read
