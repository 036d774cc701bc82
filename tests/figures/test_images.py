"""Rows and grids of tutorial 002: sizes, order, ranges."""

import numpy as np
import PIL.Image
import pytest

from vae_jax.figures import (
    loss_curve,
    reconstruction_grid,
    reconstruction_rows,
    sample_grid,
    save_figure,
)
from vae_jax.figures.drawing import new_figure


def flat(values, height=1, width=1, channels=3):
    """Images of one value each."""
    array = np.array(values, np.float32).reshape(-1, 1, 1, 1)
    return np.broadcast_to(array, (len(array), height, width, channels)).copy()


def size_of(figure, path):
    with PIL.Image.open(save_figure(figure, path)) as image:
        return image.size


def test_the_figures_have_the_tutorials_sizes(tmp_path):
    digits = np.random.default_rng(0).random((10, 28, 28, 1), np.float32)
    faces = np.random.default_rng(0).random((18, 8, 8, 3), np.float32)
    assert size_of(reconstruction_rows(digits, digits), tmp_path / "a.png") == (500, 100)
    assert size_of(sample_grid(faces), tmp_path / "b.png") == (600, 300)
    assert size_of(reconstruction_grid(faces[:16], faces[:16]), tmp_path / "c.png") == (800, 400)
    assert size_of(loss_curve([1, 2], [3.0, 2.0], label="loss"), tmp_path / "d.png") == (600, 400)


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def shown(figure, place=0):
    return figure.axes[place].images[0]


def test_originals_stand_above_their_reconstructions():
    originals = flat(np.linspace(0.1, 0.4, 4), 3, 3, 1)
    originals[:, 0, 0] = 1
    images = reconstruction_rows(originals, 1 - originals).axes[0].images
    assert len(images) == 8
    for index in range(4):
        above, below = images[index], images[4 + index]
        np.testing.assert_allclose(above.get_array(), originals[index, ..., 0])
        np.testing.assert_allclose(below.get_array(), 1 - originals[index, ..., 0])
        assert above.get_extent()[2] > below.get_extent()[3]
        assert above.get_extent()[:2] == pytest.approx(below.get_extent()[:2])
        assert above.get_cmap().name == "binary"


@pytest.mark.parametrize("shape", [(10, 28, 28, 1), (3, 30, 20, 3), (4, 9, 24, 1)])
def test_rows_are_pixel_for_pixel_those_of_a_subplot_an_image(shape):
    originals = np.random.default_rng(0).random(shape, np.float32)
    expected = new_figure((10, 2), dpi=50)
    for place, image in enumerate([*originals, *(1 - originals)], 1):
        axes = expected.add_subplot(2, len(originals), place)
        axes.imshow(image[..., 0] if shape[-1] == 1 else image, cmap="binary")
        axes.set(xticks=[], yticks=[])
    drawn = [pixels(figure) for figure in (reconstruction_rows(originals, 1 - originals), expected)]
    assert (drawn[0] == drawn[1]).all()


def test_rows_of_eight_originals_alternate_with_their_reconstructions():
    values = np.arange(1, 17) / 100
    figure = reconstruction_grid(flat(values), flat(values + 0.5))
    grid = np.asarray(shown(figure).get_array())[..., 0]
    assert grid.shape == (4 * 5 + 4, 8 * 5 + 4)
    cells = grid[4::5, 4::5]
    expected = [values[:8], values[:8] + 0.5, values[8:], values[8:] + 0.5]
    np.testing.assert_allclose(cells, expected, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_a_short_grid_keeps_each_reconstruction_below_its_original(count):
    values = np.arange(1, count + 1) / 100
    grid = np.asarray(shown(reconstruction_grid(flat(values), flat(values + 0.5))).get_array())
    cells = grid[4::5, 4::5, 0]
    np.testing.assert_allclose(cells[0::2].ravel()[:count], values, rtol=1e-6)
    np.testing.assert_allclose(cells[1::2].ravel()[:count], values + 0.5, rtol=1e-6)
    assert not cells[0::2].ravel()[count:].any()


def test_bytes_and_floats_draw_the_same_picture(tmp_path):
    bytes_ = np.random.default_rng(0).integers(0, 256, (18, 6, 6, 3), dtype=np.uint8)
    first = save_figure(sample_grid(bytes_), tmp_path / "a.png").read_bytes()
    floats = bytes_.astype(np.float32) / 255
    assert save_figure(sample_grid(floats), tmp_path / "b.png").read_bytes() == first


def test_grey_samples_are_drawn_dark_on_white_with_a_fixed_range():
    image = shown(sample_grid(flat([0.2, 0.4], 5, 5, 1)))
    assert image.get_cmap().name == "binary"
    assert image.get_clim() == (0, 1)


def test_what_a_diverged_model_gives_is_drawn_and_does_not_fail(tmp_path, recwarn):
    images = flat([np.nan, np.inf, -np.inf, 7.0, -3.0, 0.5], 4, 4)
    save_figure(sample_grid(images), tmp_path / "a.png")
    drawn = np.asarray(shown(sample_grid(images)).get_array())
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert not recwarn.list


def test_other_counts_of_reconstructions_are_refused():
    originals = np.zeros((3, 4, 4, 1), np.uint8)
    for draw in (reconstruction_rows, reconstruction_grid):
        with pytest.raises(ValueError, match="must have the same shape"):
            draw(originals, np.zeros((2, 4, 4, 1), np.float32))
