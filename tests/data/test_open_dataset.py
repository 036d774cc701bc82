"""The strings that name a source, and what the errors say."""

import subprocess
import sys

import pytest

from vae_jax.data import open_dataset
from vae_jax.errors import DataError


@pytest.mark.parametrize("source", ["", "mnist", "digits:3", "idx", "idx:", "Folder:x", ":x"])
def test_an_unknown_source_is_answered_with_the_forms(source):
    with pytest.raises(DataError) as caught:
        open_dataset(source, (28, 28, 1))
    for form in ("digits", "idx:DIR", "tfds:NAME", "folder:DIR", "stream:DIR"):
        assert form in str(caught.value)
    assert "\n" not in str(caught.value)


def test_digits_for_a_colour_model_are_refused_with_both_shapes_and_a_way_out():
    with pytest.raises(DataError, match=r"28x28x1 .* 256x256x3: .*folder:DIR"):
        open_dataset("digits", (256, 256, 3))


@pytest.mark.parametrize("kind", ["idx", "folder", "stream"])
def test_a_missing_folder_is_named(kind, tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*no where"):
        open_dataset(f"{kind}:{tmp_path}/no where", (28, 28, 1))


def test_the_data_package_imports_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import vae_jax.errors;"
        "with_package = set(sys.modules); import vae_jax.data;"
        "new = set(sys.modules) - with_package;"
        "heavy = {'jax', 'grain', 'PIL', 'mlxtend', 'tensorflow_datasets', 'tqdm', 'matplotlib'};"
        "sys.exit(' '.join(sorted(new & heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("./pics", "folder:./pics"),
        ("mnist files", "idx:mnist files"),
        ("mnist", "idx:DIR, with the folder of its files, or tfds:mnist"),
        ("Fashion-MNIST", "tfds:fashion-mnist"),
        ("digit", "digits"),
        ("floder:x", "folder:x"),
    ],
)
def test_a_source_without_its_kind_is_answered_with_what_was_meant(
    source, meant, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    (tmp_path / "mnist files").mkdir()
    (tmp_path / "mnist files" / "train-images-idx3-ubyte").touch()
    with pytest.raises(DataError, match=rf"did you mean .*{meant}\?\)"):
        open_dataset(source, (28, 28, 1))
