"""Send pictures to a browser as data URLs, and read uploaded files."""

from __future__ import annotations

import base64
import io
import tempfile
from pathlib import Path

import numpy as np

from vae_jax.data import open_picture
from vae_jax.errors import DataError
from vae_jax.figures.drawing import displayable
from vae_jax.typing import AnyArray, Float, UInt8

MAX_UPLOAD = 10_000_000
"""Most bytes of an uploaded file."""
_QUALITY = 92  # JPEG quality without visible blocks, at a tenth of PNG's bytes


def picture_url(
    image: Float[AnyArray, "H W C"] | UInt8[np.ndarray, "H W C"],
) -> str:
    """Convert an image to a data URL: PNG for grey images, JPEG for colours.

    >>> picture_url(np.zeros((2, 2, 1), np.float32))[:22]
    'data:image/png;base64,'

    Args:
        image: 1 or 3 channels, floats in [0, 1] or bytes.
    """
    import PIL.Image

    pixels = np.rint(displayable(image) * 255).astype(np.uint8)
    kind = "png" if pixels.shape[-1] == 1 else "jpeg"
    file = io.BytesIO()
    picture = PIL.Image.fromarray(pixels[..., 0] if kind == "png" else pixels)
    picture.save(file, kind, quality=_QUALITY, compress_level=1)
    return data_url(f"image/{kind}", file.getvalue())


def data_url(media_type: str, contents: bytes) -> str:
    """Convert any contents to a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(contents).decode()}"


def read_upload(
    name: str, contents: bytes, image_shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "H W C"]:
    """Read an uploaded picture, resized to the model like the pictures of a folder.

    Args:
        name: the file's name, for error messages.
        contents: the file's bytes.
        image_shape: the model's (height, width, channels).

    Raises:
        DataError: the file is too large or not a picture.
    """
    name = " ".join(name.split())[:80]
    require_upload_size(name, len(contents))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(contents)
        try:
            return open_picture("the upload", path, image_shape)
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error


def require_upload_size(name: str, size: int) -> None:
    """Raise DataError if an upload is too large."""
    if size > MAX_UPLOAD:
        raise DataError(
            f"the upload: {name} has {size / 1e6:.1f} MB; expected at most "
            f"{MAX_UPLOAD / 1e6:.0f} MB: choose a smaller picture"
        )
