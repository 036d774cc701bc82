"""Class labels for the models that take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vae_jax.errors import UserError
from vae_jax.spec import ModelSpec

Label = int | Sequence[int] | np.ndarray
"""One class number for all images, or one per image."""


def one_hot(spec: ModelSpec, label: Label | None, count: int) -> np.ndarray | None:
    """Return ``count`` one-hot labels [count, K], or None for a model without labels.

    Raises:
        UserError: a label is missing, not wanted, or not a class of the model; or the number of
            labels is neither one nor ``count``.
    """
    name, classes = spec.name, spec.num_classes
    if not classes:
        if label is not None:
            raise UserError(f"{name} takes no label; leave out label (--label)")
        return None
    if label is None:
        raise UserError(
            f"{name} takes a label with each image; give label (--label) 0 to {classes - 1}"
        )
    numbers = np.asarray(label)
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (1,), (count,)):
        raise UserError(
            f"labels of shape {numbers.shape} and type {numbers.dtype} for {count} images; "
            "expected one class number for all, or one for each"
        )
    wrong = numbers[(numbers < 0) | (numbers >= classes)].ravel()
    if len(wrong):
        raise UserError(f"a label is {wrong[0]}; {name} takes 0 to {classes - 1}")
    return np.eye(classes, dtype=np.float32)[np.resize(numbers, count)]
