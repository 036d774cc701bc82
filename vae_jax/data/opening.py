"""A picture's file, opened by Pillow as far as anybody's file may be.

Pillow knows some forty formats and tells them by the content, whatever the name: one of them,
EPS, is a program, which it hands to Ghostscript. Here only formats that are pixels are known.
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

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
"""Pillow's names of those whose pictures are read."""
ANY_FILE = 8 << 20  # pixels that any file may have: 64 MiB, with those converted to RGB
_PILLOW = re.compile(r"PIL\.")
MAX_RATIO = 1000  # pixels a byte beyond that; what a camera takes has 20 at most


@contextlib.contextmanager
def opened_regular(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Opens a file to read its bytes.

    Raises:
      OSError: it cannot be read, or is a pipe or a device, whose opening may wait for ever.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is no regular file")
    with open(path, "rb") as file:
        yield file


@contextlib.contextmanager
def opened_picture(file: io.BufferedReader | io.BytesIO) -> Iterator[PIL.Image.Image]:
    """Opens a picture; its pixels are not decoded yet.

    Args:
      file: at its beginning, and seekable.

    Raises:
      Exception: it is no picture of these formats, whatever Pillow raises on a damaged one, or a
        DecompressionBombError: it has more pixels than Pillow's limit, or than a file of so few
        bytes has.
    """
    import PIL.Image

    silence_pillow()
    num_bytes = file.seek(0, os.SEEK_END)
    try:
        opened = PIL.Image.open(file, formats=FORMATS)
    except PIL.UnidentifiedImageError:  # whose message would name the file once more
        raise ValueError(f"it is no picture of the formats {', '.join(FORMATS)}") from None
    with opened:
        refuse_bomb(opened.size, num_bytes)
        yield opened


def silence_pillow() -> None:
    """Ignores Pillow's warnings from now on, in all threads.

    They are of metadata, without the file's name: pixels that are missing raise an error, and so
    does, in `refuse_bomb`, the size of a decompression bomb. The filter stays, because
    catch_warnings, in one thread, undoes what another has set.
    """
    if ("ignore", None, Warning, _PILLOW, 0) not in warnings.filters:
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def refuse_bomb(size: tuple[int, int], num_bytes: int | None = None) -> None:
    """Raises Pillow's DecompressionBombError for a size beyond its limit; of a file of so many
    bytes, also beyond what they can hold."""
    import PIL.Image

    limit, pixels = PIL.Image.MAX_IMAGE_PIXELS, size[0] * size[1]
    if limit is not None and pixels > limit:
        raise PIL.Image.DecompressionBombError(
            f"{size[0]} times {size[1]} pixels are more than Pillow's limit of {limit}"
        )
    if num_bytes is not None and pixels > max(ANY_FILE, MAX_RATIO * num_bytes):
        raise PIL.Image.DecompressionBombError(
            f"{size[0]} times {size[1]} pixels in {num_bytes} bytes, expected {MAX_RATIO} a byte at"
            " most"
        )
