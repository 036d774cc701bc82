"""What every source returns: the images of each split as bytes, and a fingerprint of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.data.decode import Pictures
from vae_jax.errors import DataError

if TYPE_CHECKING:
    Images = np.ndarray
else:  # to those who index them, pictures decoded on demand are an array
    Images = np.ndarray | Pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
      images: uint8 [N, H, W, C], pixels 0 to 255; may be a read-only memory map, or the
        `Pictures` of `stream:`, which are decoded when they are indexed.
      labels: int32 [N], class numbers.
      attributes: what is known of each image beside its class: a column's name -> its values [N],
        text or float64 (NaN where an image has none). Not part of the fingerprint.
    """

    images: Images
    labels: np.ndarray
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, as `vae_jax.data.open_dataset` returns it.

    Attributes:
      name: the source as the user gave it, "digits" or "idx:DIR".
      train: the images to train on.
      test: the images held out, or None where the source has none.
      class_names: the name of class i at place i.
      fingerprint: 16 hex digits of the SHA-256 of all the above but `name`: the same data give
        the same string on any machine, wherever they lie.
    """

    name: str
    train: Split
    test: Split | None
    class_names: tuple[str, ...]
    fingerprint: str


def make_dataset(
    name: str, train: Split, test: Split | None, class_names: tuple[str, ...]
) -> Dataset:
    """Puts a data set together and takes its fingerprint (0.7 s for a gigabyte of pixels)."""
    return Dataset(name, train, test, class_names, fingerprint(train, test, class_names))


def take(dataset: Dataset, numbers: list[int]) -> Dataset:
    """A data set with some of the training images alone, in the order given.

    Raises:
      DataError: there is no image of that number.
    """
    for number in numbers:
        if number >= len(dataset.train):
            raise DataError(
                f"{dataset.name} has no training image {number}: expected 0 to"
                f" {len(dataset.train) - 1}"
            )
    columns = {name: values[numbers] for name, values in dataset.train.attributes.items()}
    train = Split(dataset.train.images[numbers], dataset.train.labels[numbers], columns)
    return make_dataset(dataset.name, train, dataset.test, dataset.class_names)


def image_number(dataset: Dataset, number: int) -> int:
    """The number of a training image from the first; one below 0 counts from the end.

    Raises:
      DataError: there is no such image.
    """
    total = len(dataset.train)
    if not -total <= number < total:
        raise DataError(
            f"{dataset.name} has no training image {number}: expected 0 to {total - 1}, or -1 to "
            f"-{total} from the end"
        )
    return number % total


def require_labels(dataset: Dataset, num_classes: int) -> None:
    """Checks that a model knows every label; with no classes (0) labels do not matter.

    Raises:
      DataError: a label outside 0 to `num_classes` - 1.
    """
    for split in (dataset.train, dataset.test) if num_classes else ():
        if split is None or len(split) == 0:
            continue
        for label in (int(split.labels.min()), int(split.labels.max())):
            if not 0 <= label < num_classes:
                raise DataError(
                    f"{dataset.name}: a label is {label} but the model takes 0 to"
                    f" {num_classes - 1}: choose data with no more than {num_classes} classes"
                )


def fingerprint(train: Split, test: Split | None, class_names: tuple[str, ...]) -> str:
    """Hashes the pixels, labels, shapes and class names of a data set.

    Returns:
      16 hex digits.
    """
    digest = hashlib.sha256()
    splits = {"train": train, "test": test}
    shapes = {part: list(s.images.shape) for part, s in splits.items() if s is not None}
    digest.update(json.dumps([list(class_names), shapes]).encode())
    for split in splits.values():
        if split is None:
            continue
        # A fixed byte order: the same file hashes alike on a big-endian machine.
        digest.update(np.ascontiguousarray(split.labels, dtype="<i4").data)
        digest.update(np.ascontiguousarray(split.images, dtype=np.uint8).data)
    return digest.hexdigest()[:16]


def require_shape(
    source: str, found: tuple[int | None, ...], expected: tuple[int, int, int]
) -> None:
    """Checks that a source's images are what the model takes.

    Raises:
      DataError: if `found` is not `expected`, both (height, width, channels).
    """
    if tuple(found) != tuple(expected):
        raise DataError(
            f"{source}: the images are {describe_shape(found)} but the model takes"
            f" {describe_shape(expected)}: choose a model of that size, or a folder of pictures,"
            " which are resized to the model (folder:DIR)"
        )


def describe_shape(shape: tuple[int | None, ...]) -> str:
    """Writes (height, width, channels) as "28x28x1"."""
    return "x".join("?" if size is None else str(size) for size in shape)
