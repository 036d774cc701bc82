"""Synthetic faces: always the same, laid out as the tutorial's, drawn as their attributes say."""

import csv

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import faces as source
from vae_jax.data import open_dataset
from vae_jax.data.face_drawing import draw_face
from vae_jax.data.faces import face_attributes, make_face, write_faces
from vae_jax.errors import DataError

FULL = (256, 256, 3)


def test_a_face_depends_on_its_seed_and_place_alone():
    first, again, other = (make_face(seed, 7, 40) for seed in (0, 0, 1))
    assert np.array_equal(first.variety, again.variety)
    assert first._replace(variety=None) == again._replace(variety=None)
    assert first.skin_lightness != other.skin_lightness
    assert round(first.skin_lightness, 6) == 0.840992


def test_faces_with_glasses_come_first_and_the_listings_places_hold_whom_it_expects():
    people = [make_face(0, i, 5000) for i in range(5000)]
    assert [f.glasses for f in people] == [True] * 2500 + [False] * 2500
    assert all(people[i].man for i in (0, 3, 14, -2, -8, -23))
    assert not any(people[i].man for i in (9, 15, 21, -5, -10, -20))


def test_attributes_are_balanced_and_independent():
    columns = face_attributes([make_face(0, i, 4000) for i in range(4000)])
    man = columns["person"] == "man"
    dark = columns["skin_lightness"] < 0.5
    for share in (man.mean(), dark.mean(), man[dark].mean(), man[:2000].mean()):
        assert abs(share - 0.5) < 0.04
    assert set(columns["beard"][~man]) == {"no"}
    assert np.isnan(columns["frame_lightness"][2000:]).all()
    assert not np.isnan(columns["frame_lightness"][:2000]).any()


def test_glasses_change_the_picture_around_the_eyes_alone():
    face = make_face(0, 1, 2)
    assert not face.glasses
    # The light is drawn with the last number of variety that is used: the same for both here.
    level = face._replace(variety=np.full_like(face.variety, 0.5))
    plain = draw_face(level).astype(int)
    worn = draw_face(level._replace(glasses=True, frame_lightness=0.0)).astype(int)
    changed = np.abs(worn - plain).sum(axis=-1) > 0
    rows, columns = np.nonzero(changed)
    assert 80 < rows.min() < rows.max() < 160
    assert 60 < columns.min() < columns.max() < 200
    assert 500 < changed.sum() < 6000


def test_light_frames_are_lighter_than_dark_ones():
    face = make_face(0, 0, 2)
    dark, light = (draw_face(face._replace(frame_lightness=v)).astype(int) for v in (0.0, 1.0))
    changed = (dark != light).any(axis=-1)
    assert (light[changed] - dark[changed]).mean() > 150


def test_the_source_gives_images_labels_and_attributes(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_JAX_CACHE", str(tmp_path))
    data = open_dataset("faces:6", FULL)
    assert data.train.images.shape == (6, *FULL)
    assert data.class_names == ("glasses", "no_glasses")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.train.attributes["glasses"].tolist() == ["yes"] * 3 + ["no"] * 3
    assert len(data.test) == 2
    assert np.array_equal(data.train.images[4], draw_face(make_face(0, 4, 6)))
    monkeypatch.setattr(source, "draw_face", None)  # the second time nothing is drawn
    assert open_dataset("faces:6", FULL).fingerprint == data.fingerprint


def test_other_models_get_the_faces_resized(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_JAX_CACHE", str(tmp_path))
    small = open_dataset("faces:2", (64, 64, 1)).train.images[0]
    drawn = Image.fromarray(draw_face(make_face(0, 0, 2))).convert("L")
    assert np.array_equal(small[..., 0], drawn.resize((64, 64), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("place", ["faces:", "faces:1", "faces:many", "faces:-3", "faces:1000000"])
def test_a_number_of_faces_that_is_none_is_refused(place):
    with pytest.raises(DataError, match=r"faces"):
        open_dataset(place, FULL)


def test_the_folder_is_the_source(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_JAX_CACHE", str(tmp_path / "cache"))
    write_faces(tmp_path / "a folder", 6, 0)
    there = open_dataset(f"folder:{tmp_path / 'a folder'}", FULL).train
    built_in = open_dataset("faces:6", FULL).train
    assert np.array_equal(there.images, built_in.images)
    assert np.array_equal(there.labels, built_in.labels)
    assert there.attributes.keys() == built_in.attributes.keys()
    for name, values in built_in.attributes.items():
        assert np.array_equal(there.attributes[name], values, equal_nan=values.dtype == np.float64)


def test_nothing_that_exists_is_written_over(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        write_faces(tmp_path, 2, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_the_table_names_files_as_the_folder_does(tmp_path):
    write_faces(tmp_path / "out", 3, 5)
    with (tmp_path / "out" / "attributes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [
        "glasses/00000.png",
        "glasses/00001.png",
        "no_glasses/00002.png",
    ]
    assert rows[2]["frame_lightness"] == ""
