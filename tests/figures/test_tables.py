"""Tables of tutorial 004: what Matplotlib would show of each picture, its place and the gaps."""

import warnings

import matplotlib.figure
import numpy as np
import PIL.Image
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from vae_jax.figures import image_table, save_figure


def noise(count, height=7, width=9, channels=1, seed=0):
    shape = (count, height, width, channels)
    return np.random.default_rng(seed).random(shape, np.float32)


def mosaic_of(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def cells(figure, rows, columns, height, width):
    """The pictures of a table, one value a pixel, in reading order."""
    mosaic = mosaic_of(figure)
    for scale in range(200, 0, -1):
        gap_y, gap_x = (max(1, round(0.05 * size * scale)) for size in (height, width))
        shape = (
            rows * (height * scale + gap_y) - gap_y,
            columns * (width * scale + gap_x) - gap_x,
        )
        if mosaic.shape[:2] == shape:
            break
    else:
        raise AssertionError(f"a mosaic of {mosaic.shape} has no gaps of a twentieth")
    found = []
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height * scale + gap_y), column * (width * scale + gap_x)
            block = mosaic[top : top + height * scale, left : left + width * scale]
            small = block[::scale, ::scale].copy()
            crisp = small.repeat(scale, axis=0).repeat(scale, axis=1)
            np.testing.assert_array_equal(block, crisp)
            found.append(small)
            mosaic[top : top + height * scale, left : left + width * scale] = 255
    assert (mosaic == 255).all(), "what is between the pictures is white"
    return np.stack(found)


def shown_by_matplotlib(image, **kwargs):
    """The bytes of one picture drawn alone by `imshow`, a dot a pixel."""
    height, width = image.shape[:2]
    figure = matplotlib.figure.Figure(figsize=(width / 10, height / 10), dpi=10)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image[..., 0], interpolation="nearest", **kwargs)
    axes.set_axis_off()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize("cmap", ["gray", "binary", "viridis"])
def test_each_picture_is_what_imshow_alone_shows_in_reading_order(cmap):
    images = noise(6) * np.linspace(0.1, 3, 6, dtype=np.float32).reshape(6, 1, 1, 1) - 0.5
    drawn = cells(image_table(images, 3, cmap=cmap), 2, 3, 7, 9)
    for image, found in zip(images, drawn, strict=True):
        expected = shown_by_matplotlib(image, cmap=cmap)
        np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)


def test_the_fixed_range_is_from_0_to_1_and_cuts_what_is_beyond():
    images = noise(6) * 1.6 - 0.3
    drawn = cells(image_table(images, 3, own_range=False), 2, 3, 7, 9)
    for image, found in zip(images, drawn, strict=True):
        expected = shown_by_matplotlib(image, cmap="gray", vmin=0, vmax=1)
        np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)
    assert (drawn[..., 0][images[..., 0] <= 0] == 0).all()
    assert (drawn[..., 0][images[..., 0] >= 1] == 255).all()


def test_a_pictures_own_range_takes_faint_and_far_values_to_black_and_white():
    ramp = np.linspace(0, 1, 63, dtype=np.float32).reshape(1, 7, 9, 1)
    images = np.concatenate([ramp, 0.4 + ramp / 100, 5 + 3 * ramp, -2 - ramp])
    drawn = cells(image_table(images, 4), 1, 4, 7, 9).astype(int)
    np.testing.assert_allclose(drawn[1], drawn[0], atol=1)
    np.testing.assert_allclose(drawn[2], drawn[0], atol=1)
    np.testing.assert_allclose(drawn[3], drawn[0][::-1, ::-1], atol=1)
    assert (drawn.min(), drawn.max()) == (0, 255)


def test_bytes_have_the_same_own_and_fixed_range_as_floats():
    images = np.random.default_rng(0).integers(20, 180, (4, 7, 9, 1), np.uint8)
    floats = images.astype(np.float32) / 255
    for own_range in (True, False):
        np.testing.assert_allclose(
            mosaic_of(image_table(images, 2, own_range=own_range)).astype(int),
            mosaic_of(image_table(floats, 2, own_range=own_range)).astype(int),
            atol=1,
        )
    fixed = cells(image_table(images, 2, own_range=False), 2, 2, 7, 9)
    np.testing.assert_array_equal(fixed, images.repeat(3, axis=-1))


@pytest.mark.parametrize("own_range", [True, False])
def test_colour_pictures_are_unchanged(own_range):
    images = np.random.default_rng(0).integers(20, 180, (6, 7, 9, 3), np.uint8)
    drawn = cells(image_table(images, 2, own_range=own_range), 3, 2, 7, 9)
    np.testing.assert_array_equal(drawn, images)
    floats = images.astype(np.float32) / 255
    np.testing.assert_array_equal(
        mosaic_of(image_table(floats, 2)), mosaic_of(image_table(images, 2))
    )


def test_places_left_in_the_last_row_are_white():
    drawn = cells(image_table(noise(4), 3), 2, 3, 7, 9)
    assert (drawn[4:] == 255).all()
    assert (drawn[:4].min(axis=(1, 2, 3)) == 0).all()


def test_fewer_pictures_than_columns_make_one_full_row():
    cells(image_table(noise(2), 20), 1, 2, 7, 9)


def test_what_a_diverged_model_gives_is_drawn_and_does_not_warn(recwarn):
    images = np.zeros((4, 7, 9, 1), np.float32)
    images[0] = np.nan
    images[1, 0, :4, 0] = [np.nan, np.inf, -np.inf, 2]
    images[2] = np.inf
    images[3] = 0.7
    drawn = cells(image_table(images, 4), 1, 4, 7, 9)[..., 0]
    assert not drawn[[0, 2, 3]].any()  # nothing finite, or one value only
    assert drawn[1, 0, :5].tolist() == [0, 255, 0, 255, 0]
    image_table(images, 4, own_range=False)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("rows", "columns", "height", "width", "channels"),
    [(20, 20, 28, 28, 1), (10, 20, 28, 28, 1), (2, 10, 28, 28, 1), (4, 20, 109, 89, 3)],
)
def test_a_table_is_at_most_twelve_inches_wide(rows, columns, height, width, channels, tmp_path):
    figure = image_table(noise(rows * columns, height, width, channels), columns)
    inches = figure.get_size_inches()
    assert 11 < inches[0] < 12.3
    assert inches[1] < 12.3
    assert len(figure.axes) == 1


@pytest.mark.parametrize(
    ("title", "row_titles", "others"),
    [
        (None, None, {}),
        ("Samples", None, {}),
        (None, ["0", "1", "ten"], {}),
        ("A long title " * 9, list("abc"), {}),
        ("All", list("abc"), {"headings": ["a long $heading " * 9] * 3, "captions": ["0.5"] * 30}),
    ],
)
@pytest.mark.parametrize("width", [9, 200])
def test_every_dot_of_the_table_is_one_of_the_file(title, row_titles, others, width, tmp_path):
    figure = image_table(noise(30, 7, width), 10, title=title, row_titles=row_titles, **others)
    mosaic = mosaic_of(figure)
    with PIL.Image.open(save_figure(figure, tmp_path / "a.png")) as image:
        dots = np.asarray(image.convert("RGB"))
    extent = figure.axes[0].get_window_extent()
    bottom = dots.shape[0] - round(extent.y0)
    left = round(extent.x0)
    height, width = mosaic.shape[:2]
    drawn = dots[bottom - height : bottom, left : left + width]
    assert np.mean(drawn != mosaic) < (0.2 if others else 1e-9)  # texts between the rows
    around = dots.copy()
    around[bottom - height : bottom, left : left + width] = 255
    edges = [around[0], around[-1], around[:, 0], around[:, -1]]
    assert all((edge == 255).all() for edge in edges), "no title is cut off"
    assert (around != 255).any() == (title is not None or row_titles is not None)


def test_row_titles_stand_left_of_their_rows_and_the_title_above():
    figure = image_table(noise(12), 4, row_titles=["zero", "one", "two"], title="By label")
    axes = figure.axes[0]
    figure.canvas.draw()
    table = axes.get_window_extent()
    places = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert set(places) == {"zero", "one", "two"}
    for row, name in enumerate(["zero", "one", "two"]):
        assert 0 < places[name].x0 < places[name].x1 < table.x0
        middle = (places[name].y0 + places[name].y1) / 2
        assert abs(middle - (table.y1 - (row + 0.5) / 3 * table.height)) < 0.05 * table.height
    assert axes.get_title() == "By label"
    assert axes.title.get_window_extent().y0 >= table.y1


def test_a_table_that_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        image_table(noise(0), 3)
    with pytest.raises(ValueError, match="one column"):
        image_table(noise(2), 0)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        image_table(noise(2, channels=2), 2)
    with pytest.raises(ValueError, match="2 row titles for 3 rows"):
        image_table(noise(6), 2, row_titles=["a", "b"])
    with pytest.raises(ValueError, match="1 headings for 3 rows"):
        image_table(noise(6), 2, headings=["a"])
    with pytest.raises(ValueError, match="3 captions for 6 pictures"):
        image_table(noise(6), 2, captions=list("abc"))


def test_a_table_of_four_hundred_is_drawn_without_warnings(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = save_figure(image_table(noise(400, 28, 28), 20), tmp_path / "a.png")
    assert path.stat().st_size > 10_000
