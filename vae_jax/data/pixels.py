"""From stored pixels to a model's range."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from vae_jax.typing import AnyArray, Image

_SHORT_255TH = np.float32(round(2**23 / 255) / 2**23)
_REST_255TH = np.float32(1 / 255 - float(_SHORT_255TH))


def scale_pixels(image: AnyArray, pixel_range: tuple[float, float]) -> Image:
    """Stored pixels 0 to 255 as float32 in a model's range; ``ToTensor``'s bits for (0, 1)."""
    low, high = pixel_range
    # XLA would divide by 255 by multiplying by its reciprocal, which is another float for some
    # pixels. With the reciprocal in two parts, the first short enough for an exact product, all 256
    # are right; a table of them takes up to twice as long.
    x = jnp.asarray(image).astype(jnp.float32)
    unit = x * _SHORT_255TH + x * _REST_255TH
    return unit * np.float32(high - low) + np.float32(low)
