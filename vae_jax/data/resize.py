"""One picture from its file to the model's size, pixel for pixel as torchvision does with PIL.

`ImageFolder`'s loader is `Image.open(f).convert("RGB")`; `T.Resize(size)` is `Image.resize` to
`size` on the shorter side and int(size * long / short) on the longer, bilinear and antialiased;
`T.CenterCrop` starts at int(round((height - size) / 2)). As in torchvision, the orientation that
a camera wrote into the EXIF data is not applied.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.data.opening import opened_picture, opened_regular, refuse_bomb
from vae_jax.errors import DataError

if TYPE_CHECKING:
    import PIL.Image


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
