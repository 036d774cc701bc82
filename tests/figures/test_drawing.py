"""What every figure shares: safe writing, in the format of the file's name."""

import subprocess
import sys

import pytest

from vae_jax.errors import UserError
from vae_jax.figures import loss_curve, save_figure


def test_saving_makes_the_folders_and_replaces_the_file_whole(tmp_path):
    path = tmp_path / "Bilder für später" / "图" / "a.png"
    path.parent.mkdir(parents=True)
    path.write_text("old")
    assert save_figure(loss_curve([1], [1.0], label="x"), path) == path
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.PNG", b"\x89PNG"),
        ("a.jpg", b"\xff\xd8\xff"),
        ("a.jpeg", b"\xff\xd8\xff"),
        ("a.webp", b"RIFF"),
        ("a.pdf", b"%PDF"),
        ("a.svg", b"<?xml"),
    ],
)
def test_the_suffix_chooses_the_format(tmp_path, name, start):
    path = save_figure(loss_curve([1], [1.0], label="x"), tmp_path / name)
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.xyz", "ends in .xyz"), ("a", "has no ending"), ("a.npz", "ends in .npz")],
)
def test_an_unknown_suffix_is_refused_and_nothing_is_written(tmp_path, name, found):
    with pytest.raises(UserError, match=f"{found}; expected one of .png, .jpg"):
        save_figure(loss_curve([1], [1.0], label="x"), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failed_saving_leaves_the_old_picture_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_text("old")
    figure = loss_curve([1], [1.0], label="x")

    def fail(file, **_):
        file.write_text("half")
        raise OSError("the disk is full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="the disk is full"):
        save_figure(figure, path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.slow
def test_drawing_leaves_pyplot_alone():
    code = (
        "import sys, numpy as np\n"
        "from vae_jax import figures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figures.sample_grid(np.zeros((18, 4, 4, 3), np.uint8))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
