"""The cache of decoded pictures: used when whole, rebuilt when not, never half."""

import os
import pathlib
import shutil
import threading

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import decode, open_dataset
from vae_jax.data.cache import cache_folder
from vae_jax.errors import DataError

SHAPE = (6, 6, 3)


@pytest.fixture
def pictures(tmp_path):
    for number in range(5):
        path = tmp_path / "pictures" / ("ab"[number % 2]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", (9, 9), (number, 10, 20)).save(path)
    return tmp_path / "pictures"


@pytest.fixture
def decoded(monkeypatch):
    """The pictures that were decoded."""
    names = []
    read = decode.open_picture

    def spy(source, path, image_shape):
        names.append(path.name)
        return read(source, path, image_shape)

    monkeypatch.setattr(decode, "open_picture", spy)
    return names


def entries(cache):
    return sorted(path.name for path in cache.iterdir())


def test_the_second_opening_decodes_nothing_and_gives_the_same(pictures, decoded):
    first = open_dataset(f"folder:{pictures}", SHAPE)
    assert len(decoded) == 5
    second = open_dataset(f"folder:{pictures}", SHAPE)
    assert len(decoded) == 5
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.train.labels, second.train.labels)
    assert first.fingerprint == second.fingerprint
    assert first.class_names == second.class_names


def test_the_images_are_mapped_and_cannot_be_written_to(pictures):
    images = open_dataset(f"folder:{pictures}", SHAPE).train.images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_the_fingerprint_is_of_the_pixels_and_not_of_the_place_or_the_time(pictures, tmp_path):
    first = open_dataset(f"folder:{pictures}", SHAPE)
    shutil.copytree(pictures, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "a" / "0.png", ns=(1, 1))
    assert open_dataset(f"folder:{tmp_path / 'copy'}", SHAPE).fingerprint == first.fingerprint
    PIL.Image.new("RGB", (9, 9), (99, 10, 20)).save(tmp_path / "copy" / "a" / "0.png")
    assert open_dataset(f"folder:{tmp_path / 'copy'}", SHAPE).fingerprint != first.fingerprint


@pytest.mark.parametrize("change", ["touched", "added", "removed", "renamed"])
def test_a_change_in_the_folder_decodes_again_and_replaces_the_old_entry(
    pictures, decoded, cache, change
):
    open_dataset(f"folder:{pictures}", SHAPE)
    before, path = entries(cache), pictures / "a" / "0.png"
    if change == "touched":
        os.utime(path, ns=(1, 1))
    elif change == "added":
        shutil.copy(path, pictures / "a" / "9.png")
    elif change == "removed":
        path.unlink()
    else:
        path.rename(pictures / "a" / "00.png")
    decoded.clear()
    dataset = open_dataset(f"folder:{pictures}", SHAPE)
    assert len(decoded) == len(dataset.train) == {"added": 6, "removed": 4}.get(change, 5)
    assert len(entries(cache)) == 1
    assert entries(cache) != before


def test_each_image_shape_and_folder_has_an_entry_of_its_own(pictures, tmp_path, decoded, cache):
    shutil.copytree(pictures, tmp_path / "elsewhere" / "pictures")
    for source in (pictures, tmp_path / "elsewhere" / "pictures"):
        for shape in (SHAPE, (6, 6, 1), (5, 6, 3)):
            open_dataset(f"folder:{source}", shape)
    assert len(decoded) == 30
    assert len(entries(cache)) == 6
    open_dataset(f"folder:{pictures}", SHAPE)
    assert len(decoded) == 30


@pytest.mark.parametrize(
    "damage", ["pixel", "cut", "grown", "no images", "no index", "text", "header", "other index"]
)
def test_a_damaged_entry_is_noticed_and_built_again(pictures, decoded, cache, damage):
    first = open_dataset(f"folder:{pictures}", SHAPE)
    expected = np.array(first.train.images)
    del first
    (entry,) = cache.iterdir()
    images, index = entry / "images.npy", entry / "index.json"
    data = bytearray(images.read_bytes())
    if damage == "pixel":
        data[-1] ^= 1
    elif damage == "cut":
        data = data[:-7]
    elif damage == "grown":
        np.save(images, np.concatenate([expected, expected]))
    elif damage == "header":
        data[:20] = bytes(20)
    if damage in ("pixel", "cut", "header"):
        images.write_bytes(data)
    if damage == "no images":
        images.unlink()
    if damage == "no index":
        index.unlink()
    if damage == "text":
        index.write_text("{")
    if damage == "other index":
        index.write_text("[1]")
    again = open_dataset(f"folder:{pictures}", SHAPE)
    assert len(decoded) == 10
    np.testing.assert_array_equal(again.train.images, expected)
    open_dataset(f"folder:{pictures}", SHAPE)
    assert len(decoded) == 10


def test_an_interrupted_run_leaves_nothing_that_is_used(pictures, monkeypatch, cache, decoded):
    read = decode.open_picture

    def interrupt(source, path, image_shape):
        if path.name == "3.png":
            raise KeyboardInterrupt
        return read(source, path, image_shape)

    with monkeypatch.context() as patch:
        patch.setattr(decode, "open_picture", interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_dataset(f"folder:{pictures}", SHAPE)
    assert entries(cache) == []
    decoded.clear()
    assert len(open_dataset(f"folder:{pictures}", SHAPE).train) == 5
    assert len(decoded) == 5


def test_what_a_killed_run_left_is_swept_away_after_a_day(pictures, cache):
    old, young = cache / ".partial-old", cache / ".partial-young"
    old.mkdir(parents=True)
    young.mkdir()
    (old / "images.npy").write_bytes(b"half")
    os.utime(old, (1, 1))
    open_dataset(f"folder:{pictures}", SHAPE)
    assert not old.exists()
    assert young.exists()


def test_runs_at_the_same_time_agree_on_one_entry(pictures, cache):
    results, barrier = [], threading.Barrier(4)

    def run():
        barrier.wait()
        results.append(open_dataset(f"folder:{pictures}", SHAPE))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len({result.fingerprint for result in results}) == 1
    assert len(entries(cache)) == 1


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_variable(
    pictures, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VAE_JAX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match="VAE_JAX_CACHE"):
        open_dataset(f"folder:{pictures}", SHAPE)


def test_the_cache_lies_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("VAE_JAX_CACHE", "/a/b")
    assert cache_folder() == pathlib.Path("/a/b")
    monkeypatch.setenv("VAE_JAX_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == pathlib.Path("/x/vae_jax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder() == pathlib.Path("/home/somebody/.cache/vae_jax")
