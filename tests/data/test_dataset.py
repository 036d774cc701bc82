"""Some images of a data set alone; a model with labels checks every one of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.data import Split, require_labels, take
from vae_jax.data.dataset import make_dataset
from vae_jax.errors import DataError


def split_of(count, seed=0, labels=None):
    images = np.random.default_rng(seed).integers(0, 256, (count, 3, 2, 1), np.uint8)
    numbers = np.arange(count) % 10 if labels is None else np.asarray(labels)
    return Split(images, numbers.astype(np.int32))


def dataset_of(count=20, test=5, labels=None):
    held_out = None if test is None else split_of(test, seed=1)
    return make_dataset("some data", split_of(count, labels=labels), held_out, tuple("0123456789"))


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 19), min_size=1, max_size=6))
def test_the_images_taken_are_those_of_the_numbers_in_their_order(numbers):
    whole = dataset_of()
    taken = take(whole, numbers)
    np.testing.assert_array_equal(taken.train.images, whole.train.images[numbers])
    np.testing.assert_array_equal(taken.train.labels, whole.train.labels[numbers])
    assert taken.train.images.dtype == np.uint8
    assert taken.train.labels.dtype == np.int32
    assert taken.test is whole.test
    assert (taken.name, taken.class_names) == (whole.name, whole.class_names)


def test_another_choice_is_another_fingerprint_and_the_same_choice_the_same():
    whole = dataset_of()
    choices = ([5], [5, 25 - 6], [19, 5], [5, 5])
    found = [take(whole, numbers).fingerprint for numbers in choices]
    assert len({whole.fingerprint, *found}) == 5
    assert take(dataset_of(), [5]).fingerprint == found[0]


def test_taking_images_leaves_the_whole_as_it_was():
    whole = dataset_of()
    before = whole.train.images.tobytes()
    take(whole, [3]).train.images[:] = 0
    assert whole.train.images.tobytes() == before
    assert len(whole.train) == 20


@pytest.mark.parametrize("numbers", [[20], [0, 99_999], [10**12]])
def test_a_number_that_no_image_has_is_named_with_those_there_are(numbers):
    with pytest.raises(DataError) as caught:
        take(dataset_of(), numbers)
    expected = f"some data has no training image {numbers[-1]}: expected 0 to 19"
    assert one_line(caught) == expected


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_that_the_model_does_not_know_is_refused(label):
    for dataset in (dataset_of(3, labels=[0, label, 9]), dataset_of(3)):
        if dataset.train.labels.max() <= 9 and dataset.train.labels.min() >= 0:
            # Among the test images alone.
            dataset = dataclasses.replace(dataset, test=split_of(2, labels=[label, 1]))
        with pytest.raises(DataError) as caught:
            require_labels(dataset, 10)
        assert f"some data: a label is {label} but the model takes 0 to 9" in one_line(caught)
        require_labels(dataset, 0)  # without labels they do not matter


def test_labels_of_every_class_or_of_few_are_taken():
    for dataset in (dataset_of(), dataset_of(2, labels=[0, 9]), dataset_of(3, test=None)):
        require_labels(dataset, 10)
