"""stream:DIR: the batches of folder:DIR bit for bit, decoded when they are asked for."""

import contextlib
import shutil
import threading

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import Split, decode, epoch_order, iterate_batches, open_dataset, take
from vae_jax.data.decode import Pictures
from vae_jax.data.folder import list_pictures
from vae_jax.errors import DataError

SHAPE = (6, 7, 3)
COUNT = 23


@pytest.fixture
def pictures(tmp_path):
    random = np.random.default_rng(0)
    for number in range(COUNT):
        path = tmp_path / "pictures" / ("ab"[number % 2]) / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (9, 8 + number % 3, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def decoded(monkeypatch):
    """The pictures that were decoded."""
    names, read = [], decode.open_picture

    def spy(source, path, image_shape):
        names.append(path.name)
        return read(source, path, image_shape)

    monkeypatch.setattr(decode, "open_picture", spy)
    return names


def batches(dataset, **how):
    return list(iterate_batches(dataset.train, seed=3, epoch=2, **how))


@pytest.mark.parametrize(
    "how",
    [
        {"batch_size": 5},
        {"batch_size": 5, "drop_remainder": True},
        {"batch_size": 1},
        {"batch_size": COUNT + 9},
        {"batch_size": 5, "start": 3},
        {"batch_size": 5, "start": 5},
        {"batch_size": 6, "shard": (1, 3)},
    ],
)
def test_every_batch_is_that_of_the_folder_bit_for_bit(pictures, how):
    expected = batches(open_dataset(f"folder:{pictures}", SHAPE), **how)
    found = batches(open_dataset(f"stream:{pictures}", SHAPE), **how)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key, values in one.items():
            assert type(values) is np.ndarray
            assert values.dtype == other[key].dtype
            np.testing.assert_array_equal(values, other[key])


def test_the_rest_is_that_of_the_folder_and_nothing_is_decoded_or_cached(pictures, decoded, cache):
    names = [f"{'ab'[number % 2]}/{number:02}.png" for number in range(COUNT)]
    lines = ["file,hat", *(f"{name},{'yes' if '1' in name else 'no'}" for name in names)]
    (pictures / "attributes.csv").write_text("\n".join(lines))
    found = open_dataset(f"stream:{pictures}", SHAPE)
    assert decoded == []
    assert not cache.exists()
    expected = open_dataset(f"folder:{pictures}", SHAPE)
    np.testing.assert_array_equal(found.train.labels, expected.train.labels)
    np.testing.assert_array_equal(found.train.attributes["hat"], expected.train.attributes["hat"])
    assert found.class_names == expected.class_names
    assert found.train.images.shape == expected.train.images.shape
    assert found.train.images.dtype == np.uint8
    assert (len(found.train), found.test) == (COUNT, None)


INDICES = [0, -1, np.int64(4), slice(3), slice(None, None, -7), slice(4, 4), [5, 5, -2]]
INDICES += [np.array([7, 0]), np.arange(COUNT) % 9 == 2, slice(100)]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_an_index_of_any_kind_gives_what_it_gives_of_an_array(pictures, decoded, index):
    whole = open_dataset(f"folder:{pictures}", SHAPE).train.images
    decoded.clear()
    found = open_dataset(f"stream:{pictures}", SHAPE).train.images[index]
    assert type(found) is np.ndarray
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, whole[index])
    assert len(decoded) == found.size // (6 * 7 * 3)


def test_a_picture_that_is_not_there_is_an_index_error(pictures):
    images = open_dataset(f"stream:{pictures}", SHAPE).train.images
    for index in (COUNT, -COUNT - 1, [0, COUNT]):
        with pytest.raises(IndexError, match="out of bounds"):
            images[index]


def test_some_of_the_images_are_an_ordinary_data_set(pictures):
    taken = take(open_dataset(f"stream:{pictures}", SHAPE), [4, 1])
    expected = take(open_dataset(f"folder:{pictures}", SHAPE), [4, 1])
    np.testing.assert_array_equal(taken.train.images, expected.train.images)
    assert taken.fingerprint == expected.fingerprint


def test_the_fingerprint_is_of_the_names_sizes_and_classes(pictures, tmp_path):
    first = open_dataset(f"stream:{pictures}", SHAPE).fingerprint
    copy = shutil.copytree(pictures, tmp_path / "copy")
    assert open_dataset(f"stream:{copy}", SHAPE).fingerprint == first
    found = {first, open_dataset(f"folder:{pictures}", SHAPE).fingerprint}
    found.add(open_dataset(f"stream:{copy}", (7, 6, 3)).fingerprint)
    with (copy / "a" / "00.png").open("ab") as file:
        file.write(b"x")
    found.add(open_dataset(f"stream:{copy}", SHAPE).fingerprint)
    (copy / "a" / "00.png").rename(copy / "b" / "00.png")
    found.add(open_dataset(f"stream:{copy}", SHAPE).fingerprint)
    (copy / "a").rename(copy / "A")
    found.add(open_dataset(f"stream:{copy}", SHAPE).fingerprint)
    assert len(found) == 6


def test_a_damaged_picture_is_named_in_one_line_in_its_place(pictures):
    dataset, place = open_dataset(f"stream:{pictures}", SHAPE), 12
    names = [picture.name for picture in list_pictures("stream:x", pictures)[1]]
    bad = pictures / names[epoch_order(COUNT, 3, 2)[place]]
    bad.write_bytes(b"<html>")
    rest = iterate_batches(dataset.train, batch_size=1, seed=3, epoch=2)
    for _ in range(place):
        next(rest)
    with pytest.raises(DataError, match=f"{bad.name}.*repair it or remove it") as caught:
        next(rest)
    assert "\n" not in str(caught.value)


def test_a_folder_that_folder_refuses_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no subfolders"):
        open_dataset(f"stream:{tmp_path}", SHAPE)
    with pytest.raises(DataError, match="1 or 3 channels"):
        open_dataset(f"stream:{tmp_path}", (6, 7, 4))


def test_decoding_is_ahead_of_its_use_and_stops_with_it(tmp_path, monkeypatch):
    before = threading.active_count()
    read = []

    def picture(source, path, image_shape):
        read.append(path.name)
        return np.full(image_shape, int(path.name) % 256, np.uint8)

    monkeypatch.setattr(decode, "open_picture", picture)
    images = Pictures("stream:x", tmp_path, [str(number) for number in range(5000)], (1, 1, 1))
    split = Split(images, np.arange(5000, dtype=np.int32))
    with contextlib.closing(iterate_batches(split, batch_size=50, seed=0, epoch=0)) as rest:
        for _ in range(2):
            batch = next(rest)
            np.testing.assert_array_equal(batch["image"].ravel(), batch["label"] % 256)
    assert 100 <= len(read) <= 50 * 2 + 2 * 50 + 1
    assert threading.active_count() == before
