"""Folders of pictures: the order of ImageFolder, and what is refused."""

import os
import warnings

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import folder as folder_module
from vae_jax.data import open_dataset
from vae_jax.data.folder import list_pictures
from vae_jax.errors import DataError

SHAPE = (8, 8, 3)


def paint(path, colour=(0, 0, 0), size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, tuple(colour)).save(path)


def names_of(folder):
    return [picture.name for picture in list_pictures("folder:x", folder)[1]]


def test_classes_and_files_are_sorted_and_labelled(tmp_path):
    folder = tmp_path / "Gesichter mit Brille 眼镜"
    for number, name in enumerate(
        ["no_glasses/b.png", "no_glasses/a.PNG", "glasses/10.png", "glasses/9.png", "glasses/é.png"]
    ):
        paint(folder / name, (number, 0, 0))
    (folder / "no_glasses" / "notes.txt").write_text("not a picture")
    dataset = open_dataset(f"folder:{folder}", SHAPE)
    assert dataset.class_names == ("glasses", "no_glasses")
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert dataset.train.labels.dtype == np.int32
    # "10" before "9", as strings; "a.PNG" counts whatever its case
    assert dataset.train.images[:, 0, 0, 0].tolist() == [2, 3, 4, 1, 0]
    assert dataset.test is None


def image_folder_order(root):
    """What torchvision's make_dataset does, in the words of its documentation."""
    found = []
    for name in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
        for parent, _, files in sorted(os.walk(root / name, followlinks=True)):
            for file in sorted(files):
                if file.lower().endswith((".jpg", ".png")):
                    found.append(os.path.relpath(os.path.join(parent, file), root))
    return found


def test_subfolders_come_in_the_order_of_image_folder(tmp_path):
    for name in ["a/z.png", "a/b/1.png", "a/b-c/2.png", "a/b/d/3.png", "a/B/4.png", "c/5.jpg"]:
        paint(tmp_path / "data" / name)
    paint(tmp_path / "elsewhere" / "6.png")
    (tmp_path / "data" / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "c" / "7.png").symlink_to(tmp_path / "elsewhere" / "6.png")
    found = names_of(tmp_path / "data")
    assert found == image_folder_order(tmp_path / "data")
    assert os.path.join("a", "link", "6.png") in found
    assert found.index(os.path.join("a", "b-c", "2.png")) < found.index(
        os.path.join("a", "b", "d", "3.png")
    )


def test_a_link_that_leads_back_is_followed_once(tmp_path):
    paint(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    found = names_of(tmp_path)
    assert found == [os.path.join("a", "1.png")]


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path):
    paint(tmp_path / "a.png" / "b.jpg" / "1 ü.png")
    assert names_of(tmp_path) == [os.path.join("a.png", "b.jpg", "1 ü.png")]


def test_a_link_to_itself_is_named(tmp_path):
    paint(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "2.png").symlink_to("2.png")
    with pytest.raises(DataError, match=r"cannot be listed.*2\.png"):
        names_of(tmp_path)


def test_links_that_make_endless_ways_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "MAX_FOLDERS", 500)
    paint(tmp_path / "a" / "1.png")
    for number in range(30):
        (tmp_path / f"{number}").mkdir()
        for link in "xy":
            (tmp_path / f"{number}" / link).symlink_to(tmp_path / f"{number + 1}")
    with pytest.raises(DataError, match="class folder '0' holds more than 500 folders"):
        names_of(tmp_path)


def test_folders_of_endless_depth_are_refused(tmp_path):
    os.makedirs(tmp_path / ("a/" * 200))
    with pytest.raises(DataError, match="has folders over 32 deep"):
        names_of(tmp_path)


def test_a_folder_without_class_folders_and_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match="no subfolders and no pictures"):
        open_dataset(f"folder:{tmp_path}", (8, 8, 3))


def test_a_class_without_pictures_is_named(tmp_path):
    paint(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="class folder 'b' holds no pictures"):
        open_dataset(f"folder:{tmp_path}", SHAPE)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "dangling"])
def test_a_picture_that_cannot_be_read_is_named_and_nothing_is_kept(tmp_path, cache, damage):
    paint(tmp_path / "a" / "good.png")
    bad = tmp_path / "a" / "bad.png"
    random = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    PIL.Image.fromarray(random).save(bad)
    if damage == "dangling":
        bad.unlink()
        bad.symlink_to(tmp_path / "gone.png")
    else:
        data = bad.read_bytes()
        kept = {"truncated": data[: len(data) // 2], "text": b"<html>", "empty": b""}
        bad.write_bytes(kept[damage])
    with pytest.raises(DataError, match=r"bad\.png|gone\.png") as caught:
        open_dataset(f"folder:{tmp_path}", SHAPE)
    assert "\n" not in str(caught.value)
    assert not cache.exists() or not list(cache.iterdir())


def test_a_picture_beyond_pillows_limit_is_refused_where_pillow_would_only_warn(
    tmp_path, monkeypatch
):
    paint(tmp_path / "a" / "large.png", size=(30, 30))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 600)  # 900 is above it, and below twice it
    with pytest.raises(DataError, match=r"large\.png.*limit of 600"):
        open_dataset(f"folder:{tmp_path}", SHAPE)


def test_one_channel_models_get_grey_pictures(tmp_path):
    paint(tmp_path / "a" / "1.png", (255, 0, 0))
    dataset = open_dataset(f"folder:{tmp_path}", (8, 8, 1))
    assert dataset.train.images.shape == (1, 8, 8, 1)
    assert int(dataset.train.images[0, 0, 0, 0]) == 76  # 0.299 * 255, as PIL converts to L


def test_pictures_of_other_channel_counts_are_refused(tmp_path):
    paint(tmp_path / "a" / "1.png")
    with pytest.raises(DataError, match="1 or 3 channels"):
        open_dataset(f"folder:{tmp_path}", (8, 8, 4))


def test_more_pictures_than_one_chunk_keep_their_order(tmp_path):
    for number in range(150):
        paint(tmp_path / "a" / f"{number:03}.png", (number, 0, 0))
    dataset = open_dataset(f"folder:{tmp_path}", SHAPE)
    assert dataset.train.images[:, 0, 0, 0].tolist() == list(range(150))


def test_a_palette_with_transparency_is_read_though_pillow_warns_of_it(tmp_path):
    image = PIL.Image.new("P", (8, 8), 3)
    image.putpalette([level for level in range(256) for _ in "rgb"])
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "1.png", transparency=bytes([255, 0, 128, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = open_dataset(f"folder:{tmp_path}", SHAPE)
    assert dataset.train.images[0, 0, 0].tolist() == [3, 3, 3]


def test_file_names_that_are_no_text_are_read_and_named(tmp_path):
    paint(tmp_path / "a" / "1.png", (9, 0, 0))
    odd = os.fsdecode(os.fsencode(tmp_path / "a") + b"/\xff.png")
    try:
        os.rename(tmp_path / "a" / "1.png", odd)
    except OSError:
        pytest.skip("the file system takes text names only")
    assert open_dataset(f"folder:{tmp_path}", SHAPE).train.images[0, 0, 0, 0] == 9
    with open(odd, "w") as file:
        file.write("not a picture")
    with pytest.raises(DataError) as caught:
        open_dataset(f"folder:{tmp_path}", SHAPE)
    str(caught.value).encode("utf-8")  # can be printed
