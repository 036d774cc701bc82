"""Cost against one size at a time: batch, latents, image, or the images of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contest.report import ContestRow
from vae_jax.benchmark.tasks import Task, make_task
from vae_jax.errors import UserError

AXES: dict[str, tuple[int, ...]] = {
    "batch": tuple(2**n for n in range(10)),
    "latent": (2, 8, 32, 128, 512),
    "image": (16, 32, 64, 128),
    "images": (2_000, 4_000, 8_000, 16_000, 32_000),
}
"""Axis -> the sizes along it: images a step, latents, pixels a side, images an epoch."""


def tasks_along(
    axis: str, model: str = "conv_vae", sizes: Sequence[int] = (), **given: Any
) -> list[Task]:
    """Return the tasks of a curve: training steps, and for ``images`` epochs.

    Args:
        axis: one of ``AXES``.
        model: one of ``vae_jax.MODELS``; images of any size are ``conv_vae``'s alone.
        sizes: along the axis; default: those of ``AXES``.
        **given: as for ``make_task``.

    Raises:
        UserError: an unknown axis, or one that the model does not have.
    """
    if axis not in AXES:
        raise UserError(f"there is no axis {axis!r}; expected one of {', '.join(AXES)}")
    if axis == "image" and model != "conv_vae":
        raise UserError(f"{model} takes images of one size; leave out --scaling image, or conv_vae")
    names = {"batch": "batch_size", "latent": "latent_size", "images": "num_images"}
    tasks = []
    for size in sizes or AXES[axis]:
        if axis == "image":
            given["image_shape"] = (size, size, *make_task(model, **given).module.image_shape[2:])
        else:
            given[names[axis]] = size
        tasks.append(make_task(model, "epoch" if axis == "images" else "step", **given))
    return tasks


def place(axis: str, row: ContestRow) -> int:
    """Return where a row stands along an axis."""
    task = row.task
    return {
        "batch": task.batch_size,
        "latent": task.module.latent_size,
        "image": task.module.image_shape[0],
        "images": task.num_images,
    }[axis]


def straightness(
    sizes: Sequence[int | float], seconds: Sequence[int | float]
) -> tuple[float, float, float]:
    """Fit ``a + b * size`` to measured times, all counting alike relative to themselves.

    Returns:
        a in seconds, b in seconds a unit of size, and the largest relative distance from the line.
    """
    x, y = np.asarray(sizes, float), np.asarray(seconds, float)
    (a, b), *_ = np.linalg.lstsq(np.stack([1 / y, x / y], axis=1), np.ones_like(y), rcond=None)
    return float(a), float(b), float(np.max(np.abs((a + b * x) / y - 1)))
