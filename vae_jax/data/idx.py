"""Read MNIST's file format, IDX (http://yann.lecun.com/exdb/mnist/), gzipped or not.

Fashion-MNIST and KMNIST use the same files under the same names, and Debian packages
Fashion-MNIST (``apt-get install dataset-fashion-mnist``, into /usr/share/datasets/fashion-mnist).
EMNIST's files have the same form, but their images are transposed, which no header says:
``emnist:DIR`` turns them. QMNIST's labels are int32 in 8 columns, the first of them the class.
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

UNSIGNED_BYTE, INT32 = 0x08, 0x0C
MAX_LABEL = 255  # as of labels that are bytes
# Deflate cannot expand data more than this, so a header that states more is wrong.
MAX_GZIP_RATIO = 1032

Stream = gzip.GzipFile | io.BufferedReader


def open_emnist(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Open a folder of EMNIST's files, whose images are stored transposed; see ``open_idx``."""
    height, width, channels = image_shape
    stored = open_idx(source, place, (width, height, channels))
    train, test = (
        None if split is None else Split(split.images.transpose(0, 2, 1, 3).copy(), split.labels)
        for split in (stored.train, stored.test)
    )
    assert train is not None
    return make_dataset(source, train, test, stored.class_names)


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
            " train-labels-idx1-ubyte (or idx2-int), or the t10k pair, each plain or .gz"
        )
    num_classes = max(int(pair.labels.max()) for pair in pairs) + 1
    names = tuple(str(label) for label in range(num_classes))
    return make_dataset(source, pairs[0], pairs[1] if len(pairs) == 2 else None, names)


def _open_pair(
    source: str, folder: pathlib.Path, prefix: str, image_shape: tuple[int, int, int]
) -> Split | None:
    image_path = _find(folder, f"{prefix}-images", "idx3-ubyte")
    label_path = _find(folder, f"{prefix}-labels", "idx1-ubyte", "idx2-int")
    if image_path is None and label_path is None:
        return None
    if image_path is None or label_path is None:
        found, missing = (label_path, "images") if image_path is None else (image_path, "labels")
        raise DataError(
            f"{source}: {found} exists but the {prefix}-{missing} file does not:"
            " put both files of the pair in the folder"
        )
    labels = _read_labels(label_path)
    images = read_idx(image_path, num_dimensions=3, image_shape=image_shape)[..., None]
    if len(images) != len(labels):
        raise DataError(
            f"{source}: {image_path} holds {len(images)} images but {label_path} holds"
            f" {len(labels)} labels: the two files do not belong together"
        )
    return Split(images, labels.astype(np.int32))


def _read_labels(path: pathlib.Path) -> np.ndarray:
    """Read classes [N], from MNIST's vector of bytes or the first of QMNIST's columns of int32."""
    if "idx2-int" not in path.name:
        return read_idx(path, num_dimensions=1)
    labels = read_idx(path, num_dimensions=2, kind=INT32)[:, 0]
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most > MAX_LABEL:
        raise DataError(
            f"{path} holds labels from {least} to {most} in its first column, expected classes"
            f" from 0 to {MAX_LABEL}"
        )
    return labels


def _find(folder: pathlib.Path, stem: str, *kinds: str) -> pathlib.Path | None:
    # Both spellings are common: some unpackers turn the first into the second.
    for name in (f"{stem}{joint}{kind}" for kind in kinds for joint in "-."):
        for suffix in ("", ".gz"):
            if (folder / (name + suffix)).is_file():
                return folder / (name + suffix)
    return None


def read_idx(
    path: pathlib.Path,
    *,
    num_dimensions: int,
    image_shape: tuple[int, int, int] | None = None,
    kind: int = UNSIGNED_BYTE,
) -> np.ndarray:
    """Read one IDX file; check its header before allocating memory.

    Args:
        path: the file; gzip is detected by its first bytes, not by its name.
        num_dimensions: 1 for labels, 3 for images.
        image_shape: the required (height, width, channels) of images, which are grey.
        kind: ``UNSIGNED_BYTE`` or ``INT32``, the header's code of the numbers.

    Returns:
        uint8, or big-endian int32, in the shape that the header states.

    Raises:
        DataError: the header is not that of such a file, or the contents are shorter or longer
            than it states.
    """
    try:
        with _open(path) as (stream, most_bytes):
            shape = _read_header(path, stream, num_dimensions, kind)
            dtype = np.dtype(np.uint8 if kind == UNSIGNED_BYTE else ">i4")
            num_bytes = math.prod(shape) * dtype.itemsize
            if image_shape is not None:
                require_shape(str(path), (*shape[1:], 1), image_shape)
            if num_bytes > most_bytes:
                raise DataError(
                    f"{path} is truncated or not an IDX file: its header states {num_bytes}"
                    " bytes, more than it can hold: fetch it again"
                )
            array = np.empty(shape, dtype)
            num_read = _read_into(stream, array)
            if num_read < num_bytes:
                raise DataError(
                    f"{path} is truncated: {num_read} of the {num_bytes} bytes that its header"
                    " states: fetch it again"
                )
            # Read one byte more, not the rest, so that a bomb unpacks no further.
            if stream.read(1):
                raise DataError(
                    f"{path} continues after the {num_bytes} bytes that its header states:"
                    " it is damaged or not an IDX file"
                )
            return array
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise DataError(f"{path}: cannot be read ({error}): fetch it again") from error


def _read_header(
    path: pathlib.Path, stream: Stream, num_dimensions: int, kind: int
) -> tuple[int, ...]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise DataError(
            f"{path} starts with the bytes {head.hex(' ')!r}, expected '00 00 {kind:02x}' of an IDX"
            " file: fetch it again"
        )
    if head[2] != kind:
        expected = "bytes" if kind == UNSIGNED_BYTE else "int32"
        raise DataError(
            f"{path} holds data of type 0x{head[2]:02x}, expected {expected} (0x{kind:02x})"
        )
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
    view = array.reshape(-1).view(np.uint8).data
    num_read = 0
    # Read in pieces: the kernel allocates the pages of ``array`` when they are written, so a header
    # that overstates the size takes no more memory than the file's contents.
    while num_read < len(view) and (
        count := stream.readinto(view[num_read : num_read + (1 << 20)])
    ):
        num_read += count
    return num_read
