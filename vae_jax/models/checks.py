"""Shapes that a model does not compute with, refused before they broadcast into something else."""

from __future__ import annotations

from typing import Any


def require_images(x: Any, image_shape: tuple[int, int, int]) -> None:
    """Raises ValueError unless ``x`` is [B, H, W, C] with the model's height, width, channels."""
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(image_shape):
        height, width, channels = image_shape
        raise ValueError(
            f"images of shape {tuple(x.shape)}; expected [B, {height}, {width}, {channels}] "
            "(channels last)"
        )


def require_latents(z: Any, latent_size: int) -> None:
    """Raises ValueError unless ``z`` is [B, L]."""
    if z.ndim != 2 or z.shape[1] != latent_size:
        raise ValueError(f"latents of shape {tuple(z.shape)}; expected [B, {latent_size}]")


def require_labels(label: Any, batch_size: int, num_classes: int) -> None:
    """Raises ValueError unless ``label`` is [B, classes], a row for each example."""
    if label.shape != (batch_size, num_classes):
        raise ValueError(
            f"labels of shape {tuple(label.shape)}; expected one-hot [{batch_size}, {num_classes}]"
        )
