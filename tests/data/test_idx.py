"""MNIST's format: what is read, and the files that lie."""

import gzip
import struct

import numpy as np
import pytest

from vae_jax.data import open_dataset
from vae_jax.data.idx import read_idx
from vae_jax.errors import DataError

SHAPE = (4, 5, 1)


def idx_bytes(array, *, dtype_code=8, shape=None):
    shape = array.shape if shape is None else shape
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, dtype_code, len(shape), *shape)
    return header + array.astype(np.uint8).tobytes()


def write_pair(folder, prefix, num_images, *, spelling="-", pack=False, seed=0):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (num_images, 4, 5), dtype=np.uint8)
    labels = np.arange(num_images, dtype=np.uint8) % 7
    for kind, array in (("images", images), ("labels", labels)):
        name = f"{prefix}-{kind}{spelling}idx{array.ndim}-ubyte"
        data = idx_bytes(array)
        path = folder / (name + ".gz" if pack else name)
        path.write_bytes(gzip.compress(data) if pack else data)
    return images, labels


@pytest.mark.parametrize(("spelling", "pack"), [("-", True), ("-", False), (".", False)])
def test_both_pairs_become_train_and_test(tmp_path, pack, spelling):
    folder = tmp_path / "Ziffern für später"
    folder.mkdir()
    images, labels = write_pair(folder, "train", 9, spelling=spelling, pack=pack)
    test_images, _ = write_pair(folder, "t10k", 4, spelling=spelling, pack=pack, seed=1)
    dataset = open_dataset(f"idx:{folder}", SHAPE)
    np.testing.assert_array_equal(dataset.train.images[..., 0], images)
    np.testing.assert_array_equal(dataset.train.labels, labels)
    np.testing.assert_array_equal(dataset.test.images[..., 0], test_images)
    assert dataset.train.labels.dtype == np.int32
    assert dataset.class_names == tuple("0123456")
    assert dataset.name == f"idx:{folder}"


@pytest.mark.parametrize("prefix", ["train", "t10k"])
def test_one_pair_alone_is_the_training_set(tmp_path, prefix):
    images, _ = write_pair(tmp_path, prefix, 3)
    dataset = open_dataset(f"idx:{tmp_path}", SHAPE)
    np.testing.assert_array_equal(dataset.train.images[..., 0], images)
    assert dataset.test is None


def test_the_fingerprint_is_of_the_contents_and_not_of_the_packing_or_the_place(tmp_path):
    prints = []
    for name, pack, seed in (("a", True, 0), ("b", False, 0), ("c", False, 1)):
        (tmp_path / name).mkdir()
        write_pair(tmp_path / name, "train", 5, pack=pack, seed=seed)
        prints.append(open_dataset(f"idx:{tmp_path / name}", SHAPE).fingerprint)
    assert prints[0] == prints[1] != prints[2]


IMAGES = np.arange(40, dtype=np.uint8).reshape(2, 4, 5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "starts with"),
        (b"\x89PNG....", "starts with"),
        (b"\0\0\x08", "starts with"),
        (b"\0\0\x08\x03\0\0", "within its header"),
        (idx_bytes(IMAGES, dtype_code=0x0D), "type 0x0d"),
        (idx_bytes(IMAGES[0, 0]), "1 dimensions, expected 3"),
        (idx_bytes(IMAGES)[:-1], "truncated"),
        (idx_bytes(IMAGES) + b"\0", "continues after the 40 bytes"),
        (idx_bytes(IMAGES, shape=(3, 4, 5)), "truncated"),
        (idx_bytes(IMAGES, shape=(1, 4, 5)), "continues after"),
        (idx_bytes(IMAGES[:0]), "empty"),
        (idx_bytes(IMAGES, shape=(2, 5, 4)), "5x4x1 but the model takes 4x5x1"),
        (idx_bytes(IMAGES, shape=(0xFFFFFFFF, 4, 5)), "truncated"),
    ],
)
def test_a_header_that_lies_is_named_with_the_file_packed_or_not(tmp_path, content, words):
    write_pair(tmp_path, "train", 2)
    path = tmp_path / "train-images-idx3-ubyte"
    for data in (content, gzip.compress(content)):
        path.write_bytes(data)
        with pytest.raises(DataError, match=words) as caught:
            open_dataset(f"idx:{tmp_path}", SHAPE)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "flip", "header only"])
def test_a_damaged_gzip_file_is_named(tmp_path, damage):
    write_pair(tmp_path, "train", 50, pack=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[len(data) // 2] ^= 0xFF
    else:
        data = data[:12]
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz"):
        open_dataset(f"idx:{tmp_path}", SHAPE)


def test_a_bomb_is_unpacked_no_further_than_its_header_says(tmp_path, monkeypatch):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx_bytes(IMAGES) + bytes(50_000_000)))
    asked = []
    read = gzip.GzipFile.read

    def spy(self, size=-1):
        asked.append(size)
        return read(self, size)

    monkeypatch.setattr(gzip.GzipFile, "read", spy)
    with pytest.raises(DataError, match="continues after"):
        read_idx(path, num_dimensions=3)
    assert min(asked) > 0
    assert sum(asked) < 100


def test_labels_that_are_not_as_many_as_the_images_are_refused(tmp_path):
    write_pair(tmp_path, "train", 4)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match=r"4 images but .* 3 labels"):
        open_dataset(f"idx:{tmp_path}", SHAPE)


@pytest.mark.parametrize("gone", ["images-idx3", "labels-idx1"])
def test_half_a_pair_is_refused_and_the_missing_half_named(tmp_path, gone):
    write_pair(tmp_path, "train", 4)
    (tmp_path / f"train-{gone}-ubyte").unlink()
    with pytest.raises(DataError, match=f"the train-{gone.split('-')[0]} file does not"):
        open_dataset(f"idx:{tmp_path}", SHAPE)


def test_a_folder_without_idx_files_is_told_what_to_hold(tmp_path):
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        open_dataset(f"idx:{tmp_path}", SHAPE)


def test_emnist_is_transposed_to_stand_upright(tmp_path):
    images, labels = write_pair(tmp_path, "train", 9)
    test_images, _ = write_pair(tmp_path, "t10k", 4, seed=1)
    dataset = open_dataset(f"emnist:{tmp_path}", (5, 4, 1))
    np.testing.assert_array_equal(dataset.train.images[..., 0], images.transpose(0, 2, 1))
    np.testing.assert_array_equal(dataset.test.images[..., 0], test_images.transpose(0, 2, 1))
    np.testing.assert_array_equal(dataset.train.labels, labels)


def write_qmnist_labels(folder, labels, code=0x0C, kind="idx2-int"):
    """QMNIST's eight columns: the class, then the writer and where the image is from."""
    table = np.arange(len(labels) * 8).reshape(-1, 8) * 1000
    table[:, 0] = labels
    header = struct.pack(">BBBB2I", 0, 0, code, 2, *table.shape)
    (folder / "train-labels-idx1-ubyte").unlink(missing_ok=True)
    (folder / f"train-labels-{kind}").write_bytes(header + table.astype(">i4").tobytes())


def test_qmnists_labels_are_the_first_of_eight_columns(tmp_path):
    images, labels = write_pair(tmp_path, "train", 9)
    write_qmnist_labels(tmp_path, labels)
    dataset = open_dataset(f"idx:{tmp_path}", SHAPE)
    np.testing.assert_array_equal(dataset.train.labels, labels)
    np.testing.assert_array_equal(dataset.train.images[..., 0], images)
    assert dataset.train.labels.dtype == np.int32


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"labels": [70000] * 9}, "holds labels from 70000 to 70000 in its first column"),
        ({"labels": [-1] * 9}, "holds labels from -1 to -1"),
        ({"labels": [0] * 9, "code": 8}, r"type 0x08, expected int32 \(0x0c\)"),
        ({"labels": [0] * 8}, "9 images but .* 8 labels"),
        ({"labels": [0] * 9, "kind": "idx1-ubyte"}, r"type 0x0c, expected bytes \(0x08\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, settings, told):
    write_pair(tmp_path, "train", 9)
    write_qmnist_labels(tmp_path, **settings)
    with pytest.raises(DataError, match=told):
        open_dataset(f"idx:{tmp_path}", SHAPE)
