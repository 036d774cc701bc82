"""`stream:DIR`: a folder of pictures read without a cache, for sets that no disk holds decoded.

The pictures are those of `folder:DIR`, in the same order and with the same pixels, decoded anew in
every epoch, ahead of the step that trains on them.
"""

from __future__ import annotations

import hashlib
import json
import os

from vae_jax.data.dataset import Dataset, Split
from vae_jax.data.folder import list_folder
from vae_jax.data.pictures import Pictures


def open_stream(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Opens a folder of pictures as `open_folder`, and decodes none; `test` is None.

    Args:
      source: the source as the user gave it, for the messages.
      place: the folder.
      image_shape: the model's (height, width, channels): 3 channels are RGB, 1 is grey.

    Returns:
      The examples of `folder:`, the images a `Pictures`. The fingerprint is of the classes, the
      image shape, and the pictures' names, classes and sizes in bytes: the pixels are not hashed,
      so that of a picture replaced by another of its size nothing is noticed.

    Raises:
      DataError: as `open_folder`; for a picture that cannot be read, when it is decoded.
    """
    folder = list_folder(source, place, image_shape)
    names = [picture.name for picture in folder.pictures]
    files = [
        (picture.name.replace(os.sep, "/"), picture.label, picture.size)
        for picture in folder.pictures
    ]
    told = json.dumps([source.partition(":")[0], folder.class_names, image_shape, files])
    images = Pictures(source, folder.path, names, image_shape)
    split = Split(images, folder.labels, folder.attributes)  # pyright: ignore[reportArgumentType]
    fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]
    return Dataset(source, split, None, folder.class_names, fingerprint)
