"""Find the training images nearest to an image, to detect memorisation.

A sample that is much nearer to a training image than other training images are is a copy.
"""

from __future__ import annotations

import numpy as np

from vae_jax.typing import Float, Int, Pixels

_CHUNK_VALUES = 2**24  # floats held at once: 64 MB


def nearest(
    images: Float[np.ndarray, "B H W C"], training_images: Pixels, count: int
) -> tuple[Int[np.ndarray, "B K"], Float[np.ndarray, "B K"]]:
    """Return each image's nearest training images by the root mean square of pixel differences.

    The training images are read in chunks, so that a memory map of thousands of large pictures is
    never in memory as a whole. Squared distances are |a|^2 - 2ab + |b|^2 by matrix products in
    float32; those of the nearest images are then recomputed from the differences, so that a copy
    has distance 0 without the products' rounding.

    Args:
        images: images in [0, 1].
        training_images: at least ``count`` stored images, 0 to 255, possibly a memory map.
        count: neighbours per image.

    Returns:
        The numbers of the nearest training images, int [B, count], the nearest first, and their
        distances, [B, count], in pixel values from 0 to 1.

    Raises:
        ValueError: the count is below 1 or above the number of training images, or shapes differ.
    """
    total = len(training_images)
    if not 1 <= count <= total or images.shape[1:] != training_images.shape[1:]:
        raise ValueError(
            f"{count} neighbours of {images.shape} among {training_images.shape} images"
        )
    flat = images.reshape(len(images), -1).astype(np.float32)
    squared = np.empty((len(flat), total), np.float32)
    step = max(1, _CHUNK_VALUES // flat.shape[1])
    for begin in range(0, total, step):
        pixels = training_images[begin : begin + step]
        # Dividing by 255 here would take another pass over every pixel.
        chunk = pixels.reshape(len(pixels), -1).astype(np.float32)
        norms = np.einsum("nd,nd->n", chunk, chunk)
        # With the smaller matrix first, OpenBLAS took 40 times as long.
        products = flat @ chunk.T if len(flat) > len(chunk) else (chunk @ flat.T).T
        squared[:, begin : begin + step] = norms[None] - (2 * 255) * products
    # Keep a few more, because the products' rounding may swap nearly equal distances.
    kept = min(total, count + 4)
    near = np.argpartition(squared, kept - 1, axis=1)[:, :kept]
    distances = np.stack(
        [
            np.sqrt(np.mean((row[None] - _units(training_images[np.sort(places)])) ** 2, axis=1))
            for row, places in zip(flat, near, strict=True)
        ]
    )
    near = np.sort(near, axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return (
        np.take_along_axis(near, order, axis=1),
        np.take_along_axis(distances, order, axis=1).astype(np.float64),
    )


def _units(stored: np.ndarray) -> np.ndarray:
    return stored.reshape(len(stored), -1).astype(np.float32) / np.float32(255)
