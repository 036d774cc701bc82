"""Scale stored pixels to a model's range."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import UserError
from vae_jax.typing import AnyArray, Image

_SHORT_255TH = np.float32(round(2**23 / 255) / 2**23)
_REST_255TH = np.float32(1 / 255 - float(_SHORT_255TH))
_SLACK = 1e-6  # how far rounding may move a pixel out of the range


@partial(jax.jit, static_argnums=1)
def scale_pixels(image: AnyArray, pixel_range: tuple[float, float]) -> Image:
    """Scale pixels 0 to 255 to float32 in a model's range, for (0, 1) bit for bit ``ToTensor``."""
    low, high = pixel_range
    # XLA turns a division by 255 into a product with its reciprocal, which rounds some pixels
    # differently. Splitting the reciprocal in two, the first short enough for an exact product,
    # makes all 256 right; a lookup table takes up to twice as long.
    x = jnp.asarray(image).astype(jnp.float32)
    unit = x * _SHORT_255TH + x * _REST_255TH
    return unit * np.float32(high - low) + np.float32(low)


def model_pixels(
    images: AnyArray,
    image_shape: tuple[int, int, int],
    pixel_range: tuple[float, float],
    check_range: bool = True,
) -> Image:
    """Check images [N, H, W, C], and return them in a model's pixel range.

    Args:
        images: uint8 (0 to 255), or floats that are already in the range.
        image_shape: the model's (height, width, channels).
        pixel_range: the model's values of black and white.
        check_range: refuse floats outside the range.

    Raises:
        UserError: the images have another shape or type, or floats are outside the range.
    """
    if len(images.shape) != 4 or tuple(images.shape[1:]) != image_shape:
        raise UserError(
            f"images of shape {list(images.shape)}; expected [N, "
            f"{', '.join(map(str, image_shape))}]: images, height, width, channels"
        )
    low, high = pixel_range
    if images.dtype == np.uint8:
        return scale_pixels(np.asarray(images), pixel_range)
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise UserError(f"images of type {images.dtype}; expected uint8 (0 to 255) or floats")
    images = np.asarray(images)
    if check_range and images.size:
        least, most = float(images.min()), float(images.max())
        if not (low - _SLACK <= least and most <= high + _SLACK):
            raise UserError(
                f"float images from {least:g} to {most:g}; expected floats from {low:g} to "
                f"{high:g}, or uint8 from 0 to 255"
            )
    return images
