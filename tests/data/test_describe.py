"""A folder says what became of its pictures; what cannot be read is left out when asked for."""

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import open_dataset
from vae_jax.errors import DataError

SHAPE = (8, 8, 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_JAX_CACHE", str(tmp_path / "cache"))


def paint(path, mode="L", size=(8, 8), **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new(mode, size, 1 if mode in ("L", "I;16") else None).save(path, **settings)


@pytest.fixture
def flat(tmp_path):
    for number in range(3):
        paint(tmp_path / "flat" / f"{number}.png")
    return tmp_path / "flat"


@pytest.mark.parametrize("kind", ["folder", "stream"])
def test_a_folder_without_subfolders_is_one_class(flat, kind):
    (flat / ".ipynb_checkpoints").mkdir()
    dataset = open_dataset(f"{kind}:{flat}", SHAPE)
    assert dataset.class_names == ("pictures",)
    assert dataset.train.labels.tolist() == [0, 0, 0]
    assert np.asarray(dataset.train.images[:]).shape == (3, *SHAPE)
    renamed = flat.rename(flat.with_name("other"))
    assert open_dataset(f"{kind}:{renamed}", SHAPE).fingerprint == dataset.fingerprint


def test_a_hidden_folder_without_pictures_is_no_class(tmp_path):
    paint(tmp_path / "data" / "a" / "1.png")
    (tmp_path / "data" / ".ipynb_checkpoints").mkdir()
    assert open_dataset(f"folder:{tmp_path / 'data'}", SHAPE).class_names == ("a",)


@pytest.mark.parametrize(
    ("mode", "size", "settings", "change"),
    [
        ("L", (8, 8), {}, ""),
        ("RGB", (8, 8), {}, "colour to grey"),
        ("L", (16, 16), {}, "resized to 8x8"),
        ("L", (8, 16), {}, "cropped"),
        ("L", (12, 16), {}, "resized to 8x8, cropped"),
        ("I;16", (8, 8), {}, "16 bits to 8"),
        ("LA", (8, 8), {}, "transparency on white"),
    ],
)
def test_what_was_converted_is_said(tmp_path, mode, size, settings, change):
    paint(tmp_path / "data" / "1.png", mode, size, **settings)
    found = open_dataset(f"folder:{tmp_path / 'data'}", SHAPE).description
    assert found == "1 picture" + (f"; {change}" if change else "")


def test_what_was_left_out_is_counted(flat):
    for number in range(2):
        paint(flat / f"{number}.gif")
    (flat / "notes.txt").write_text("no picture")
    assert open_dataset(f"folder:{flat}", SHAPE).description == "3 of 5 pictures, 2 GIFs left out"
    paint(flat / "colour.png", "RGB")
    found = open_dataset(f"stream:{flat}", SHAPE).description
    assert found == "4 of 6 pictures, 2 GIFs left out; 1 colour to grey"


@pytest.mark.parametrize("kind", ["folder", "stream"])
def test_unreadable_pictures_are_left_out_when_asked_for(flat, kind):
    clean = open_dataset(f"{kind}:{flat}", SHAPE).fingerprint
    whole = (flat / "0.png").read_bytes()
    (flat / "torn.png").write_bytes(whole[:-30])
    (flat / "text.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="or train with --skip-unreadable"):
        _ = open_dataset(f"{kind}:{flat}", SHAPE).train.images[:]
    for _ in range(2):  # found, then remembered
        dataset = open_dataset(f"{kind}:{flat}", SHAPE, skip_unreadable=True)
        assert dataset.description == "3 of 5 pictures, 2 unreadable left out"
        assert np.asarray(dataset.train.images[:]).shape == (3, *SHAPE)
        assert dataset.fingerprint == clean
    (flat / "text.jpg").write_bytes(whole)
    dataset = open_dataset(f"{kind}:{flat}", SHAPE, skip_unreadable=True)
    assert dataset.description == "4 of 5 pictures, 1 unreadable left out"


def test_a_folder_of_unreadable_pictures_only_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 1 pictures can be read"):
        open_dataset(f"folder:{tmp_path / 'data'}", SHAPE, skip_unreadable=True)


def test_only_pictures_of_a_folder_can_be_left_out():
    with pytest.raises(DataError, match="digits: only pictures of folder: or stream:"):
        open_dataset("digits", (28, 28, 1), skip_unreadable=True)
