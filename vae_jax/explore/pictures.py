"""Pictures on their way to and from a browser: data URLs out, uploaded files in."""

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
"""Bytes of an uploaded file at most."""
_QUALITY = 92  # of JPEG: no block shows, a tenth of PNG's bytes


def picture_url(
    image: Float[AnyArray, "H W C"] | UInt8[np.ndarray, "H W C"],
) -> str:
    """An image as a data URL: PNG where it is grey, JPEG where it has colours.

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
    """Any contents as a data URL."""
    return f"data:{media_type};base64,{base64.b64encode(contents).decode()}"


def read_upload(
    name: str, contents: bytes, image_shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "H W C"]:
    """The picture in an uploaded file, resized to the model as the pictures of a folder are.

    Args:
        name: the file's, for the messages.
        contents: the file.
        image_shape: the model's (height, width, channels).

    Raises:
        DataError: the file is too large, or not a picture.
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
    """Raises DataError for more bytes than an upload may have."""
    if size > MAX_UPLOAD:
        raise DataError(
            f"the upload: {name} has {size / 1e6:.1f} MB; expected at most "
            f"{MAX_UPLOAD / 1e6:.0f} MB: choose a smaller picture"
        )
