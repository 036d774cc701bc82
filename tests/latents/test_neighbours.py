"""The nearest training images."""

import numpy as np
import pytest

from vae_jax.latents import nearest, neighbours


def data(count, shape=(5, 4, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def brute_force(images, training_images):
    differences = images[:, None] - (training_images / np.float32(255))[None]
    return np.sqrt((differences**2).mean(axis=(2, 3, 4)))


@pytest.mark.parametrize("chunk_values", [60, 60 * 7, 2**24])
def test_they_are_those_of_every_difference_whatever_the_chunk(monkeypatch, chunk_values):
    monkeypatch.setattr(neighbours, "_CHUNK_VALUES", chunk_values)
    training, images = data(30), data(6, seed=1).astype(np.float32) / 255
    places, distances = nearest(images, training, 4)
    expected = brute_force(images, training)
    np.testing.assert_array_equal(places, np.argsort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :4], rtol=1e-5)


def test_a_copy_is_at_distance_zero_and_the_first_of_copies_comes_first():
    training = data(20)
    training[11] = training[4]
    places, distances = nearest(training[[11, 7]].astype(np.float32) / 255, training, 3)
    np.testing.assert_array_equal(places[0, :2], [4, 11])
    np.testing.assert_array_equal(distances[0, :2], [0, 0])
    assert places[1, 0] == 7
    assert distances[1, 0] == 0 < distances[1, 1]


def test_black_and_white_are_at_distance_one():
    training = np.stack([np.zeros((2, 2, 1), np.uint8), np.full((2, 2, 1), 255, np.uint8)])
    _, distances = nearest(np.ones((1, 2, 2, 1), np.float32), training, 2)
    np.testing.assert_array_equal(distances, [[0, 1]])


def test_a_memory_map_gives_the_same(tmp_path):
    training, images = data(12), data(2, seed=1).astype(np.float32) / 255
    np.save(tmp_path / "a.npy", training)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(nearest(images, mapped, 5), nearest(images, training, 5))


@pytest.mark.parametrize("count", [0, 4])
def test_more_neighbours_than_images_are_refused(count):
    with pytest.raises(ValueError, match="neighbours of"):
        nearest(np.zeros((1, 5, 4, 3), np.float32), data(3), count)
