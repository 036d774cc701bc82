"""Stored pixels in a model's range: the bits of PyTorch's ``ToTensor``, compiled or not."""

import jax
import numpy as np
import pytest

from vae_jax.data.pixels import scale_pixels

PIXELS = np.arange(256, dtype=np.uint8)


@pytest.fixture(params=["eager", "compiled"])
def scale(request):
    compiled = jax.jit(scale_pixels, static_argnums=1)
    return compiled if request.param == "compiled" else scale_pixels


def test_pixels_are_divided_by_255_to_the_bit(scale):
    found = np.asarray(scale(PIXELS.reshape(1, 16, 16, 1), (0.0, 1.0)))
    # ToTensor divides in float32, which rounds correctly; a product with 1/255 would not.
    expected = PIXELS.astype(np.float32) / np.float32(255)
    assert (expected != PIXELS.astype(np.float32) * np.float32(1 / 255)).any()
    assert found.dtype == np.float32
    assert found.ravel().tobytes() == expected.tobytes()


def test_another_pixel_range_ends_where_it_says(scale):
    found = np.asarray(scale(PIXELS.reshape(1, 16, 16, 1), (-1.0, 1.0))).ravel()
    assert (found[0], found[-1]) == (-1, 1)
    np.testing.assert_allclose(found, np.arange(256) / 127.5 - 1, rtol=0, atol=2e-7)
