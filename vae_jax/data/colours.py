"""Turn a picture of any mode into 8-bit grey or RGB, upright.

Pillow's ``convert`` clips 16-bit grey at 255, turns floats from 0 to 1 black, and shows the colours
that hide under transparency. Here 16-bit values lose their lower byte (as Pillow itself does with
16-bit RGB), transparency shows white, and what has no known range is refused. Every other picture
is converted by ``convert``, as in torchvision's ``ImageFolder``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vae_jax.errors import DataError

if TYPE_CHECKING:
    import PIL.Image

BACKGROUND = 255
"""What transparent pixels show: white."""
_ORIENTATION = 0x0112  # EXIF's tag
_SIXTEEN = ("PNG", "PPM")  # formats of which Pillow gives 16 bits as 32
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # TIFF's


def upright(image: PIL.Image.Image, channels: int) -> PIL.Image.Image:
    """Return a picture as RGB (3 channels) or grey (1), turned as its EXIF data say.

    Raises:
        DataError: its mode has no range that is known to be black to white.
        Exception: its pixels cannot be decoded.
    """
    image.load()  # which may change the mode, and turns a TIFF
    turn = _turn(image)
    image = _to_mode(image, "RGB" if channels == 3 else "L")
    return image if turn is None else image.transpose(turn)


def is_deep(mode: str) -> bool:
    """Return whether a mode holds one channel of more than 8 bits."""
    return mode == "F" or mode[0] == "I"


def _turn(image: PIL.Image.Image) -> PIL.Image.Transpose | None:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        return turns.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata leave the pixels as they are
        return None


def _to_mode(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    import PIL.Image

    if is_deep(image.mode):
        image = PIL.Image.fromarray(_eight_bits(image))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            ground = PIL.Image.new("RGBA", image.size, (BACKGROUND,) * 3 + (255,))
            image = PIL.Image.alpha_composite(ground, image)
    elif image.mode == "LAB":
        image = image.convert("RGB")  # Pillow knows no way to grey
    # ``convert`` would copy even without a change, a tenth of the work.
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: PIL.Image.Image) -> np.ndarray:
    """Return the upper byte of 16-bit grey, uint8 [H, W]."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    # Pillow scales a PGM of any maximum to 65535, and gives it, or a 16-bit PNG, the mode I.
    if not image.mode.startswith("I;16") and (image.mode == "F" or image.format not in _SIXTEEN):
        kind = "floats" if image.mode == "F" else "integers whose range is unknown"
        raise DataError(
            f"it holds {kind} (mode {image.mode}), expected 8 or 16 bits: save it as 8-bit PNG"
        )
    values = np.asarray(image).astype(np.uint16)
    grey = (values >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts only 8 bits
        grey = 255 - grey
    if (hidden := image.info.get("transparency")) is not None:
        grey = np.where(values == hidden, np.uint8(BACKGROUND), grey)
    return grey
