"""The training images nearest to an image: whether a model has learned or memorised.

A sample that is as near to a training image as no other training image is, is a copy.
"""

from __future__ import annotations

import numpy as np

from vae_jax.typing import Float, Int, Pixels

_CHUNK_VALUES = 2**24  # floats held at once: 64 MB


def nearest(
    images: Float[np.ndarray, "B H W C"], training_images: Pixels, count: int
) -> tuple[Int[np.ndarray, "B K"], Float[np.ndarray, "B K"]]:
    """The nearest training images of each image, by the root mean square of pixel differences.

    The training images are read in pieces, so that a memory map of thousands of large pictures
    never lies in memory as a whole. Their squared distances are |a|^2 - 2ab + |b|^2, by matrix
    products in float32; those of the images chosen are then taken again from the differences,
    so that a copy is at distance 0 and not at the rounding of the products.

    Args:
        images: in [0, 1].
        training_images: as stored, 0 to 255, at least ``count``; they may be a memory map.
        count: neighbours of each image.

    Returns:
        The places of the neighbours among the training images, int [B, count], the nearest first,
        and their distances, [B, count], in pixel values from 0 to 1.

    Raises:
        ValueError: a count below 1 or above the number of training images, or another shape.
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
        # Not divided by 255, which would be another pass over every pixel.
        chunk = pixels.reshape(len(pixels), -1).astype(np.float32)
        norms = np.einsum("nd,nd->n", chunk, chunk)
        # With the fewer rows first, OpenBLAS was measured to take 40 times as long.
        products = flat @ chunk.T if len(flat) > len(chunk) else (chunk @ flat.T).T
        squared[:, begin : begin + step] = norms[None] - (2 * 255) * products
    # A few more than asked for, as the products' rounding may swap near equals.
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
