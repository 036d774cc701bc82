"""What every figure shares: torchvision's grid worked out by hand, safe writing."""

import subprocess
import sys

import numpy as np
import pytest

from vae_jax.figures import loss_curve, make_grid, save_figure


def flat(values, height=1, width=1, channels=3):
    """Images of one value each."""
    array = np.array(values, np.float32).reshape(-1, 1, 1, 1)
    return np.broadcast_to(array, (len(array), height, width, channels)).copy()


def test_a_grid_of_one_pixel_images_is_the_one_worked_out_by_hand():
    grid = make_grid(flat([1, 2, 3, 4, 5]), 3, padding=1, pad_value=9.0)
    expected = [
        [9, 9, 9, 9, 9, 9, 9],
        [9, 1, 9, 2, 9, 3, 9],
        [9, 9, 9, 9, 9, 9, 9],
        [9, 4, 9, 5, 9, 9, 9],
        [9, 9, 9, 9, 9, 9, 9],
    ]
    assert grid.shape == (5, 7, 3)
    for channel in range(3):
        np.testing.assert_array_equal(grid[..., channel], expected)


def test_a_grid_keeps_each_images_rows_and_columns():
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)
    grid = make_grid(images, 8, padding=2)
    expected = [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 2, 0, 0, 6, 7, 8, 0, 0],
        [0, 0, 3, 4, 5, 0, 0, 9, 10, 11, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert grid.dtype == np.uint8
    assert grid.shape == (6, 12, 3)  # one channel becomes three
    np.testing.assert_array_equal(grid, np.repeat(np.array(expected)[..., None], 3, axis=2))


def test_one_image_alone_gets_no_padding():
    assert make_grid(flat([1], 4, 5), 6, padding=3).shape == (4, 5, 3)
    assert make_grid(flat([1], 4, 5, channels=1), 6, padding=3).shape == (4, 5, 3)


def test_a_grid_without_padding_has_no_seams():
    np.testing.assert_array_equal(
        make_grid(flat([1, 2, 3]), 2, padding=0)[..., 0], [[1, 2], [3, 0]]
    )


@pytest.mark.parametrize(("num_images", "columns"), [(0, 3), (2, 0)])
def test_an_empty_grid_is_refused(num_images, columns):
    with pytest.raises(ValueError, match="a grid of"):
        make_grid(np.zeros((num_images, 2, 2, 3), np.float32), columns)


def test_saving_makes_the_folders_and_replaces_the_file_whole(tmp_path):
    path = tmp_path / "Bilder für später" / "图" / "a.png"
    path.parent.mkdir(parents=True)
    path.write_text("old")
    assert save_figure(loss_curve([1], [1.0], label="x"), path) == path
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


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
