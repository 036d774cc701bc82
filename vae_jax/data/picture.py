"""Read a picture safely, and resize it to the model's size.

Pillow knows about forty formats and detects them by the content, not the name. One of them, EPS, is
a program that it runs in Ghostscript, so only formats that consist of pixels are accepted here.

The pixels are those of torchvision with PIL, except where ``colours`` says otherwise.
``ImageFolder``'s loader is ``Image.open(f).convert("RGB")``; ``T.Resize(size)`` is ``Image.resize``
to ``size`` on the shorter side and int(size * long / short) on the longer, bilinear and
antialiased; ``T.CenterCrop`` starts at int(round((height - size) / 2)). Unlike there, a camera's
pictures are turned upright.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.data.colours import upright
from vae_jax.errors import DataError
from vae_jax.files import require_local

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""Pillow's names of the accepted formats."""
ANY_FILE = 8 << 20  # pixels that any file may have: 64 MiB, including the conversion to RGB
_PILLOW = re.compile(r"PIL\.")
MAX_RATIO = 1000  # pixels per byte of larger pictures; photographs have at most 20


@contextlib.contextmanager
def opened_regular(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Open a file to read its bytes.

    Raises:
        OSError: it cannot be read, or is a pipe or a device, which might block forever.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is not a regular file")
    with open(path, "rb") as file:
        yield file


@contextlib.contextmanager
def opened_picture(file: io.BufferedReader | io.BytesIO) -> Iterator[PIL.Image.Image]:
    """Open a picture without decoding its pixels.

    Args:
        file: a seekable file at its beginning.

    Raises:
        Exception: it is not a picture of these formats, or damaged (Pillow raises many types); or a
            DecompressionBombError: it has too many pixels for Pillow's limit or its size in bytes.
    """
    import PIL.Image

    silence_pillow()
    num_bytes = file.seek(0, os.SEEK_END)
    try:
        opened = PIL.Image.open(file, formats=FORMATS)
    except PIL.UnidentifiedImageError:  # its message would name the file a second time
        raise ValueError(f"it is not a picture of the formats {', '.join(FORMATS)}") from None
    with opened:
        refuse_bomb(opened.size, num_bytes)
        yield opened


def silence_pillow() -> None:
    """Ignore Pillow's warnings from now on, in all threads.

    They concern metadata and do not name the file; missing pixels raise an error, and so do
    decompression bombs, in ``refuse_bomb``. The filter is permanent, because catch_warnings in one
    thread undoes what another has set.
    """
    if ("ignore", None, Warning, _PILLOW, 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def refuse_bomb(size: tuple[int, int], num_bytes: int | None = None) -> None:
    """Raise Pillow's DecompressionBombError for a size beyond its limit or the file's bytes."""
    import PIL.Image

    limit, pixels = PIL.Image.MAX_IMAGE_PIXELS, size[0] * size[1]
    if limit is not None and pixels > limit:
        raise PIL.Image.DecompressionBombError(
            f"{size[0]} times {size[1]} pixels are more than Pillow's limit of {limit}"
        )
    if num_bytes is not None and pixels > max(ANY_FILE, MAX_RATIO * num_bytes):
        raise PIL.Image.DecompressionBombError(
            f"{size[0]} times {size[1]} pixels in {num_bytes} bytes, expected at most {MAX_RATIO}"
            " per byte"
        )


def read_image(path: str | os.PathLike[str], image_shape: tuple[int, int, int]) -> np.ndarray:
    """Read a picture, resize it to cover the model's image, and crop the rest.

    The tutorial's pictures are square and need no cropping. Others lose both ends of their longer
    side equally, because a batch needs one shape.

    Args:
        path: the file.
        image_shape: (height, width, channels): the picture is converted to RGB for 3 channels, and
            to grey ("L") for 1, by ``colours.upright``.

    Returns:
        uint8, in ``image_shape``.

    Raises:
        Exception: as in ``opened_picture``.
    """
    with opened_regular(path) as file, opened_picture(file) as picture:
        return cover(picture, image_shape)


def cover(image: PIL.Image.Image, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Resize a picture to cover (height, width), and crop the rest.

    Returns:
        uint8, in ``image_shape``, which has 3 or 1 channels.
    """
    import PIL.Image

    height, width, channels = image_shape
    image = upright(image, channels)
    size = covering_size((image.height, image.width), (height, width))
    refuse_bomb(size)  # a picture 1 pixel high and thousands wide would become enormous
    if size != (image.height, image.width):
        image = image.resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)
    # Python rounds halves to even, as torchvision does.
    top, left = round((size[0] - height) / 2.0), round((size[1] - width) / 2.0)
    if size != (height, width):
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image).reshape(image_shape)


def open_picture(
    source: str, path: str | os.PathLike[str], image_shape: tuple[int, int, int]
) -> np.ndarray:
    """Read a picture by ``read_image``, and report errors with the file's name.

    Raises:
        DataError: it cannot be read; the message begins with ``source``.
    """
    require_local(path)
    try:
        return read_image(path, image_shape)
    except DataError as error:
        raise DataError(f"{source}: cannot read the picture {str(path)!r}: {error}") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"{source}: cannot read the picture {str(path)!r} ({reason}): repair it or remove it"
        ) from error


def covering_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Scale (height, width) to cover ``target`` exactly on one side.

    For a square target this is ``T.Resize``: the shorter side becomes the target's.

    >>> covering_size((218, 178), (256, 256))
    (313, 256)
    >>> covering_size((100, 100), (64, 96))
    (96, 96)
    """
    (height, width), (target_height, target_width) = size, target
    if width * target_height <= height * target_width:
        return int(target_width * height / width), target_width
    return target_height, int(target_height * width / height)
