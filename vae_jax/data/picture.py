"""One picture from its file to the model's size, opened as far as anybody's file may be.

Pillow knows some forty formats and tells them by the content, whatever the name: one of them,
EPS, is a program, which it hands to Ghostscript. Here only formats that are pixels are known.

The pixels are those of torchvision with PIL. `ImageFolder`'s loader is
`Image.open(f).convert("RGB")`; `T.Resize(size)` is `Image.resize` to `size` on the shorter side and
int(size * long / short) on the longer, bilinear and antialiased; `T.CenterCrop` starts at
int(round((height - size) / 2)). As in torchvision, the orientation that a camera wrote into the
EXIF data is not applied.
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

from vae_jax.errors import DataError

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


def read_image(path: str | os.PathLike[str], image_shape: tuple[int, int, int]) -> np.ndarray:
    """Reads a picture, resizes it to cover the model's image, and crops what stands over.

    The tutorial's pictures are square and are resized alone. A batch needs one shape, so
    others lose the ends of their longer side, equally.

    Args:
      path: the file.
      image_shape: (height, width, channels): with 3 channels the picture is converted to RGB,
        with 1 to grey ("L"), from whatever mode it has.

    Returns:
      uint8, of `image_shape`.

    Raises:
      Exception: whatever Pillow's decoders raise on a damaged file, and its
        DecompressionBombError already where Pillow alone would warn.
    """
    with opened_regular(path) as file, opened_picture(file) as picture:
        return cover(picture, image_shape)


def cover(image: PIL.Image.Image, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Resizes a picture of 3 or 1 channels to cover (height, width), and crops what stands over.

    Returns:
      uint8, of `image_shape`.
    """
    import PIL.Image

    height, width, channels = image_shape
    image.load()  # which may change the mode
    mode = "RGB" if channels == 3 else "L"
    if image.mode != mode:  # else `convert` would copy it, a tenth of the whole work
        image = image.convert(mode)
    size = covering_size((image.height, image.width), (height, width))
    refuse_bomb(size)  # a sliver, 1 pixel high and thousands wide, grows enormous
    if size != (image.height, image.width):
        image = image.resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)
    # Python rounds halves to even here, and so does torchvision.
    top, left = round((size[0] - height) / 2.0), round((size[1] - width) / 2.0)
    if size != (height, width):
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image).reshape(image_shape)


def open_picture(
    source: str, path: str | os.PathLike[str], image_shape: tuple[int, int, int]
) -> np.ndarray:
    """Reads a picture as `read_image`; one that cannot be read is named.

    Raises:
      DataError: whatever is wrong with it, begun with `source`.
    """
    try:
        return read_image(path, image_shape)
    except Exception as error:  # a damaged file can make a decoder raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"{source}: cannot read the picture {str(path)!r} ({reason}): repair it or take it away"
        ) from error


def covering_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Scales (height, width) to cover `target`, touching it on one side.

    For a square target this is `T.Resize`: the shorter side becomes the target's.

    >>> covering_size((218, 178), (256, 256))
    (313, 256)
    >>> covering_size((100, 100), (64, 96))
    (96, 96)
    """
    (height, width), (target_height, target_width) = size, target
    if width * target_height <= height * target_width:
        return int(target_width * height / width), target_width
    return target_height, int(target_height * width / height)
