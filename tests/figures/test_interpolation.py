"""Arithmetic rows, interpolation strips and animations: sizes, order, titles."""

import numpy as np
import PIL.Image
import PIL.ImageSequence
import pytest

from vae_jax.figures import arithmetic_rows, interpolation_strip, save_animation, save_figure
from vae_jax.figures.drawing import make_grid


def faces(count, size=8):
    return np.random.default_rng(0).random((count, size, size, 3), np.float32)


def drawn(figure, place=0):
    return np.asarray(figure.axes[place].images[0].get_array())


def test_a_row_of_four_is_the_tutorials_figure(tmp_path):
    images = faces(4)
    figure = arithmetic_rows([images], ["man with glasses - $woman$"])
    np.testing.assert_array_equal(drawn(figure), make_grid(images, 4, 1))
    title = figure.axes[0].title
    assert (title.get_text(), title.get_fontsize()) == ("man with glasses - $woman$", 10)
    assert title.get_color() == "r"
    with PIL.Image.open(save_figure(figure, tmp_path / "a.png")) as image:
        assert image.size == (800, 200)


def test_rows_of_other_lengths_stand_below_each_other():
    rows = [faces(3), faces(6)]
    figure = arithmetic_rows(rows, ["short", "long"])
    assert tuple(figure.get_size_inches()) == (12, 4)
    for number, images in enumerate(rows):
        np.testing.assert_array_equal(drawn(figure, number), make_grid(images, len(images), 1))
    assert figure.axes[0].get_position().y0 > figure.axes[1].get_position().y1


@pytest.mark.parametrize("titles", [[], ["a", "b"]])
def test_other_counts_of_titles_are_refused(titles):
    with pytest.raises(ValueError, match="titles for 1 rows"):
        arithmetic_rows([faces(2)], titles)


def test_a_strip_has_six_steps_a_row():
    images = faces(8)
    np.testing.assert_array_equal(drawn(interpolation_strip(images)), make_grid(images, 6, 1))


def test_an_animation_shows_each_image_there_and_back(tmp_path):
    images = np.stack([np.full((4, 6, 1), value, np.float32) for value in (0.0, 0.5, 1.0)])
    path = save_animation(images, tmp_path / "new" / "a.gif")
    with PIL.Image.open(path) as picture:
        assert picture.size == (43 * 6, 43 * 4)  # 6 dots become at least 256
        assert picture.info["loop"] == 0
        frames = [np.asarray(frame.convert("L")) for frame in PIL.ImageSequence.Iterator(picture)]
    shades = [frame[100, 100] for frame in frames]
    np.testing.assert_allclose(shades, [255, 128, 0, 128], atol=1)  # dark on white
    assert [path.name for path in path.parent.iterdir()] == ["a.gif"]


def test_an_animation_keeps_its_colours(tmp_path):
    images = np.zeros((2, 300, 300, 3), np.float32)
    images[0, ..., 0] = images[1, ..., 2] = 1
    with PIL.Image.open(save_animation(images, tmp_path / "a.gif")) as picture:
        assert picture.size == (300, 300)
        assert picture.convert("RGB").getpixel((5, 5)) == (255, 0, 0)
        picture.seek(1)
        assert picture.convert("RGB").getpixel((5, 5)) == (0, 0, 255)
