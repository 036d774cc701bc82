"""``sample``: what --out may be."""

import numpy as np
import pytest
from PIL import Image

from vae_jax.training.checkpoint import save_variables

from .test_evaluate import random_weights


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A Flax folder of small models with and without labels."""
    made = {name: tmp_path_factory.mktemp("models") / name for name in ("conv_vae", "digits_cvae")}
    sizes = {"image_shape": (6, 5, 3), "widths": (2,), "latent_size": 2}
    save_variables(made["conv_vae"], "conv_vae", sizes, random_weights("conv_vae", **sizes))
    sizes = {"channels": 1}
    save_variables(
        made["digits_cvae"], "digits_cvae", sizes, random_weights("digits_cvae", **sizes)
    )
    return made


def test_arrays_are_the_samples_that_single_pictures_show(succeed, folders, tmp_path):
    command = ("sample", folders["conv_vae"], "--count=11", "--seed=3", "--out")
    out = succeed(*command, tmp_path / "a.npy").out
    assert out == f"11 samples of conv_vae, seed 3: {tmp_path / 'a.npy'}\n"
    images = np.load(tmp_path / "a.npy")
    assert (images.shape, images.dtype) == ((11, 6, 5, 3), np.float32)
    assert 0 <= images.min() < images.max() <= 1
    succeed(*command, tmp_path / "A.NPZ")
    with np.load(tmp_path / "A.NPZ") as arrays:
        assert arrays.files == ["images"]
        np.testing.assert_array_equal(arrays["images"], images)
    succeed(*command, tmp_path / "each")
    files = sorted(path.name for path in (tmp_path / "each").iterdir())
    assert files == [f"{number:02}.png" for number in range(11)]
    shown = np.stack([np.asarray(Image.open(tmp_path / "each" / name)) for name in files])
    np.testing.assert_array_equal(shown, np.rint(images * 255))


def test_labels_are_in_the_arrays_and_in_the_names(succeed, folders, tmp_path):
    command = ("sample", folders["digits_cvae"], "--count=2", "--label=7", "--label=2", "--out")
    succeed(*command, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["labels"].tolist() == [7, 7, 2, 2]
        assert arrays["images"].shape == (4, 28, 28, 1)
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "with.suffix/"):
        succeed(*command, f"{tmp_path}/{folder}")
        names = sorted(path.name for path in (tmp_path / folder).iterdir())
        assert names == ["2_0.png", "2_1.png", "7_0.png", "7_1.png"]
        assert Image.open(tmp_path / folder / "7_0.png").mode == "L"


@pytest.mark.parametrize("suffix", ["jpg", "pdf", "svg"])
def test_the_suffix_chooses_the_pictures_format(succeed, folders, tmp_path, suffix):
    succeed("sample", folders["conv_vae"], "--out", tmp_path / f"a.{suffix}")
    start = (tmp_path / f"a.{suffix}").read_bytes()[:4]
    assert start == {"jpg": b"\xff\xd8\xff\xe0", "pdf": b"%PDF", "svg": b"<?xm"}[suffix]


def test_a_hundred_samples_are_drawn_at_their_own_size(succeed, folders, tmp_path):
    succeed("sample", folders["conv_vae"], "--count=100", "--out", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 10 * 60  # ten a row, their pixels as squares of many dots


def test_an_unknown_suffix_and_a_full_folder_are_refused_before_anything_is_loaded(cli, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    for out, told in (
        ("a.xyz", "a.xyz ends in .xyz; expected one of .png, .jpg, .jpeg, .webp, .pdf, .svg, .npy"),
        ("full", "full is a folder that is not empty; choose another"),
    ):
        outcome = cli("sample", tmp_path / "no model", "--out", tmp_path / out)
        assert outcome.status == 2
        assert told in outcome.error
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["a.txt"]
