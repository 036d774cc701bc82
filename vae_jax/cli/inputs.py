"""Images that a command works on: picture files, or those of a data source."""

from __future__ import annotations

import numpy as np

from vae_jax.cli.encodings import training_source
from vae_jax.data import open_picture
from vae_jax.errors import UserError
from vae_jax.pretrained import Label, Pretrained


def stored_images(
    loaded: Pretrained,
    pictures: tuple[str, ...],
    data: str | None,
    count: int,
    labels: tuple[int, ...] = (),
) -> tuple[np.ndarray, Label | None]:
    """Return images uint8 [N, H, W, C], and their labels int [N] or None if unknown.

    Args:
        loaded: the model, which determines the shape and the default data.
        pictures: files; if there are none, the data's first test images are used.
        data: a data source; None for the model's own.
        count: how many of the data's images to take.
        labels: the pictures' labels: one for all, or one each.

    Raises:
        UserError: labels do not fit the number of pictures, or are given without pictures or
            to a model that takes none.
    """
    shape = loaded.image_shape
    if labels and not loaded.spec.num_classes:
        raise UserError(f"{loaded.name} takes no label; leave out label (--label)")
    if not pictures:
        if labels:
            raise UserError("--label needs IMAGES; a data source has its own labels")
        dataset = training_source(loaded, data)
        split = dataset.test or dataset.train
        return np.asarray(split.images[:count]), loaded.label_if_taken(split.labels[:count])
    if labels and len(labels) not in (1, len(pictures)):
        raise UserError(
            f"{len(labels)} labels for {len(pictures)} pictures; expected one for all or one each"
        )
    stored = np.stack([open_picture("the picture given", path, shape) for path in pictures])
    return stored, np.resize(labels, len(pictures)) if labels else None
