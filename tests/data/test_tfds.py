"""TensorFlow data sets, made and read here without TensorFlow and without a network."""

import io
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

from vae_jax.data import open_dataset
from vae_jax.errors import DataError

tfds = pytest.importorskip("tensorflow_datasets")
SHAPE = (6, 5, 3)


def pixels(number):
    return np.random.default_rng(number).integers(0, 256, SHAPE, dtype=np.uint8)


def png(array):
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, "PNG")
    file.seek(0)
    return file


class TinyFaces(tfds.core.GeneratorBasedBuilder):
    """Five images to train on and two to test on."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=SHAPE),
                "label": tfds.features.ClassLabel(names=["glasses", "none"]),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(range(5)),
            "test": self._generate_examples(range(5, 7)),
        }

    def _generate_examples(self, numbers):
        for number in numbers:
            yield number, {"image": png(pixels(number)), "label": number % 2}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tensorflow_datasets")
    TinyFaces(data_dir=root).download_and_prepare(file_format="array_record")
    return root


@pytest.fixture
def data_dir(prepared, tmp_path, monkeypatch):
    """A copy that a test may damage."""
    shutil.copytree(prepared / "tiny_faces", tmp_path / "tiny_faces")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


def test_a_prepared_set_is_read_without_tensorflow(data_dir):
    script = (
        "import sys; from vae_jax.data import open_dataset\n"
        f"print(open_dataset('tfds:tiny_faces', {SHAPE}).fingerprint, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    dataset = open_dataset("tfds:tiny_faces", SHAPE)
    assert done.stdout.split() == [dataset.fingerprint, "False"], done.stderr
    assert dataset.class_names == ("glasses", "none")
    found = {image.tobytes(): label for image, label in zip(*_arrays(dataset.train), strict=True)}
    assert found == {pixels(number).tobytes(): number % 2 for number in range(5)}
    assert len(dataset.test) == 2
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int32
    assert open_dataset("tfds:tiny_faces:1.0.0", SHAPE).fingerprint == dataset.fingerprint


def _arrays(split):
    return split.images, split.labels.tolist()


def test_a_set_that_is_not_prepared_is_answered_at_once_with_the_commands(data_dir):
    began = time.monotonic()
    with pytest.raises(DataError) as caught:
        open_dataset("tfds:mnist", (28, 28, 1))
    assert time.monotonic() - began < 5
    assert "pip install 'vae-jax[tensorflow]'" in str(caught.value)
    assert "file_format='array_record').download_and_prepare()" in str(caught.value)
    assert str(data_dir) in str(caught.value)


def test_a_preparation_that_was_cut_off_is_not_taken_for_a_version(data_dir):
    (data_dir / "tiny_faces" / "1.0.0").rename(data_dir / "tiny_faces" / "incomplete.9_1.0.0")
    with pytest.raises(DataError, match="not prepared"):
        open_dataset("tfds:tiny_faces", SHAPE)


def test_the_newest_version_is_taken(data_dir):
    folder = data_dir / "tiny_faces"
    (folder / "1.0.0").rename(folder / "1.10.0")
    shutil.copytree(folder / "1.10.0", folder / "1.9.0")
    (folder / "1.9.0" / "dataset_info.json").write_text("not the one")
    assert len(open_dataset("tfds:tiny_faces", SHAPE).train) == 5


def test_a_set_with_configurations_names_them(data_dir):
    folder = data_dir / "tiny_faces"
    (folder / "small").mkdir()
    (folder / "1.0.0").rename(folder / "small" / "1.0.0")
    with pytest.raises(DataError, match="try tfds:tiny_faces/small"):
        open_dataset("tfds:tiny_faces", SHAPE)


def test_a_set_prepared_for_tensorflow_alone_says_how_to_prepare_it_again(data_dir):
    info = data_dir / "tiny_faces" / "1.0.0" / "dataset_info.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "fileFormat": "tfrecord"}))
    with pytest.raises(DataError, match=r"prepared as tfrecord.*file_format='array_record'"):
        open_dataset("tfds:tiny_faces", SHAPE)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "train", "no train"])
def test_a_damaged_set_is_an_error_of_one_line(data_dir, name):
    folder = data_dir / "tiny_faces" / "1.0.0"
    if name.endswith("train"):
        (path,) = folder.glob("*train*")
        path.unlink() if name == "no train" else path.write_bytes(path.read_bytes()[:100])
    else:
        (folder / name).write_text("{")
    with pytest.raises(DataError, match=r"again") as caught:
        open_dataset("tfds:tiny_faces", SHAPE)
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_refused(data_dir):
    with pytest.raises(DataError, match="6x5x3 but the model takes 28x28x1"):
        open_dataset("tfds:tiny_faces", (28, 28, 1))


@pytest.mark.parametrize(
    "name", ["../tiny_faces", "/etc", "tiny faces", "tiny_faces:../x", "tiny_faces:/x", "*"]
)
def test_what_is_no_name_of_a_set_is_refused(data_dir, name):
    with pytest.raises(DataError, match="not a TFDS name"):
        open_dataset(f"tfds:{name}", SHAPE)
