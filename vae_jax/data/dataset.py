"""Data sets: the images of each split as uint8, and a fingerprint."""

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
else:  # Pictures are decoded on demand, but are indexed like an array
    Images = np.ndarray | Pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 [N, H, W, C], pixels 0 to 255; possibly a read-only memory map, or the
            ``Pictures`` of ``stream:``, which are decoded when they are indexed.
        labels: int32 [N], class numbers.
        attributes: further attributes of the images: column names to values [N], text or float64
            (NaN for missing values). Not part of the fingerprint.
    """

    images: Images
    labels: np.ndarray
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, as ``vae_jax.data.open_dataset`` returns it.

    Attributes:
        name: the source as the user gave it, such as "digits" or "idx:DIR".
        train: the training images.
        test: the held-out images, or None if the source has none.
        class_names: the classes' names, in the order of their numbers.
        fingerprint: 16 hex digits of the SHA-256 of images, labels and class names: the same data
            give the same string on any machine and in any folder.
        description: what was made of a folder's pictures, and what was left out; "" for others.
    """

    name: str
    train: Split
    test: Split | None
    class_names: tuple[str, ...]
    fingerprint: str
    description: str = ""


def make_dataset(
    name: str, train: Split, test: Split | None, class_names: tuple[str, ...]
) -> Dataset:
    """Return a data set with its fingerprint, which takes 0.7 s per gigabyte of pixels."""
    return Dataset(name, train, test, class_names, fingerprint(train, test, class_names))


def take(dataset: Dataset, numbers: list[int]) -> Dataset:
    """Return a data set with only some of the training images, in the order given.

    Raises:
        DataError: an image does not exist.
    """
    for number in numbers:
        if number >= len(dataset.train):
            raise DataError(
                f"{dataset.name} has no training image {number}: expected 0 to"
                f" {len(dataset.train) - 1}"
            )
    columns = {name: values[numbers] for name, values in dataset.train.attributes.items()}
    train = Split(dataset.train.images[numbers], dataset.train.labels[numbers], columns)
    taken = make_dataset(dataset.name, train, dataset.test, dataset.class_names)
    return dataclasses.replace(taken, description=dataset.description)


def image_number(dataset: Dataset, number: int) -> int:
    """Return a training image's number; a negative one counts from the end.

    Raises:
        DataError: the image does not exist.
    """
    total = len(dataset.train)
    if not -total <= number < total:
        raise DataError(
            f"{dataset.name} has no training image {number}: expected 0 to {total - 1}, or -1 to "
            f"-{total} from the end"
        )
    return number % total


def require_labels(dataset: Dataset, num_classes: int) -> None:
    """Check that a model accepts every label; with 0 classes, labels do not matter.

    Raises:
        DataError: a label is outside 0 to ``num_classes`` - 1.
    """
    for split in (dataset.train, dataset.test) if num_classes else ():
        if split is None or len(split) == 0:
            continue
        for label in (int(split.labels.min()), int(split.labels.max())):
            if not 0 <= label < num_classes:
                raise DataError(
                    f"{dataset.name}: a label is {label} but the model takes 0 to"
                    f" {num_classes - 1}: choose data with at most {num_classes} classes"
                )


def fingerprint(train: Split, test: Split | None, class_names: tuple[str, ...]) -> str:
    """Return 16 hex digits of a hash of the pixels, labels, shapes and class names."""
    sha256 = hashlib.sha256()
    splits = {"train": train, "test": test}
    shapes = {part: list(s.images.shape) for part, s in splits.items() if s is not None}
    sha256.update(json.dumps([list(class_names), shapes]).encode())
    for split in splits.values():
        if split is None:
            continue
        # The byte order is fixed, so that big-endian machines give the same hash.
        sha256.update(np.ascontiguousarray(split.labels, dtype="<i4").data)
        sha256.update(np.ascontiguousarray(split.images, dtype=np.uint8).data)
    return sha256.hexdigest()[:16]


def require_shape(
    source: str, found: tuple[int | None, ...], expected: tuple[int, int, int]
) -> None:
    """Check that a source's images have the shape that the model takes.

    Raises:
        DataError: ``found`` is not ``expected``, both (height, width, channels).
    """
    if tuple(found) != tuple(expected):
        raise DataError(
            f"{source}: the images are {describe_shape(found)} but the model takes"
            f" {describe_shape(expected)}: choose a model of that size, or a folder of pictures,"
            " which are resized to the model (folder:DIR)"
        )


def describe_shape(shape: tuple[int | None, ...]) -> str:
    """Format (height, width, channels) as "28x28x1"."""
    return "x".join("?" if size is None else str(size) for size in shape)
