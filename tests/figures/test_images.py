"""Rows and grids of tutorial 002: order, texts, ranges."""

import numpy as np
import pytest

from vae_jax.figures import (
    arithmetic_rows,
    denoising_rows,
    interpolation_strip,
    reconstruction_grid,
    reconstruction_rows,
    sample_grid,
    save_figure,
)

from .test_tables import cells, mosaic_of, noise


def flat(values, height=7, width=9, channels=3):
    """Images of one value each."""
    array = np.array(values, np.float32).reshape(-1, 1, 1, 1)
    return np.broadcast_to(array, (len(array), height, width, channels)).copy()


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def title(figure):
    return figure.axes[0].get_title()


def test_digits_stand_above_their_reconstructions_dark_on_white_in_their_own_range():
    originals = noise(4) * np.float32(0.3)
    figure = reconstruction_rows(originals, 0.5 - originals, title="epoch 3")
    drawn = cells(figure, 2, 4, 7, 9)[..., 0].astype(int)
    low, high = (f(originals, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
    stretched = ((originals - low) / (high - low))[..., 0] * 255
    np.testing.assert_allclose(drawn[:4], 255 - stretched, atol=1)
    np.testing.assert_allclose(drawn[4:], stretched, atol=1)
    assert texts(figure) == ["original", "reconstruction"]
    assert title(figure) == "epoch 3"


def test_rows_of_eight_originals_alternate_with_their_reconstructions():
    values = np.arange(1, 17, dtype=np.float32) / 100
    figure = reconstruction_grid(flat(values), flat(values + 0.5), title="faces")
    drawn = cells(figure, 4, 8, 7, 9)[:, 0, 0, 0].reshape(4, 8)
    expected = [values[:8], values[:8] + 0.5, values[8:], values[8:] + 0.5]
    np.testing.assert_allclose(drawn, np.array(expected) * 255, atol=0.51)
    assert texts(figure) == ["original", "reconstruction"] * 2
    assert title(figure) == "faces"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 8, 11])
def test_a_short_grid_keeps_each_reconstruction_below_its_original_on_white(count, channels):
    values = np.arange(1, count + 1, dtype=np.float32) / 100
    pairs = [flat(v, channels=channels) for v in (values, values + 0.5)]
    columns = min(8, count)
    drawn = cells(reconstruction_grid(*pairs), 2 * -(-count // columns), columns, 7, 9)
    drawn = drawn[:, 0, 0, 0].reshape(-1, columns)
    originals, found = drawn[0::2].ravel(), drawn[1::2].ravel()
    np.testing.assert_allclose(originals[:count], values * 255, atol=1)
    np.testing.assert_allclose(found[:count], (values + 0.5) * 255, atol=1)
    assert (originals[count:] == 255).all()
    assert (found[count:] == 255).all()


def test_bytes_and_floats_draw_the_same_picture(tmp_path):
    bytes_ = np.random.default_rng(0).integers(0, 256, (18, 6, 6, 3), dtype=np.uint8)
    first = save_figure(sample_grid(bytes_), tmp_path / "a.png").read_bytes()
    floats = bytes_.astype(np.float32) / 255
    assert save_figure(sample_grid(floats), tmp_path / "b.png").read_bytes() == first


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (18, 6), (36, 6), (37, 7), (100, 10)])
def test_samples_have_six_columns_and_many_as_many_as_rows(count, columns):
    figure = sample_grid(noise(count), title="samples")
    drawn = cells(figure, -(-count // columns), columns, 7, 9)
    np.testing.assert_allclose(drawn[:count, ..., :1], noise(count) * 255, atol=1)
    assert title(figure) == "samples"


def test_grey_samples_are_drawn_the_right_way_round_in_a_fixed_range():
    drawn = cells(sample_grid(flat([0.2, 0.4], channels=1)), 1, 2, 7, 9)
    np.testing.assert_allclose(drawn[:, 0, 0, 0], [51, 102], atol=1)


def test_what_a_diverged_model_gives_is_drawn_and_does_not_fail(recwarn):
    drawn = cells(sample_grid(flat([np.nan, np.inf, -np.inf, 7.0, -3.0, 0.5])), 1, 6, 7, 9)
    assert drawn[:, 0, 0, 0].tolist() == [0, 255, 0, 255, 0, 128]
    assert not recwarn.list


def test_other_counts_of_reconstructions_are_refused():
    originals = np.zeros((3, 4, 4, 1), np.uint8)
    for draw in (reconstruction_rows, reconstruction_grid):
        with pytest.raises(ValueError, match="must have the same shape"):
            draw(originals, np.zeros((2, 4, 4, 1), np.float32))


def test_rows_of_arithmetic_have_titles_above_and_captions_below_each_picture():
    rows = [noise(3, channels=3), noise(5, channels=3, seed=1)]
    captions = [["a", "b", "result"], [*list("abcd"), "result"]]
    figure = arithmetic_rows(rows, ["a - $b$", "a - b + c - d"], captions)
    figure.canvas.draw()
    axes, size = figure.axes[0], mosaic_of(figure).shape
    found = [(t.get_text(), t.get_window_extent()) for t in axes.texts if t.get_text()]
    assert [text for text, _ in found] == [*captions[0], *captions[1], "a - $b$", "a - b + c - d"]
    boxes = dict(enumerate(box for _, box in found))
    table = axes.get_window_extent()
    step = table.width / 5
    for number, box in boxes.items():
        if number < 8:
            column = number if number < 3 else number - 3
            middle = (box.x0 + box.x1) / 2 - table.x0
            assert abs(middle - (column + 0.5) * step) < 0.1 * step
    first, second = boxes[0], boxes[3]  # captions of the rows
    assert boxes[8].y0 > first.y1 > first.y0 > boxes[9].y1 > boxes[9].y0 > second.y1
    assert size[0] / size[1] < 0.7


@pytest.mark.parametrize("titles", [[], ["a", "b"]])
def test_other_counts_of_titles_are_refused(titles):
    with pytest.raises(ValueError, match="titles for 1 rows"):
        arithmetic_rows([noise(2)], titles)


def test_a_strip_has_six_steps_a_row_with_their_weights_and_no_empty_page():
    figure = interpolation_strip(noise(6, 64, 64, 3))
    assert np.divide(*figure.get_size_inches()) == pytest.approx(6, rel=0.1)
    cells(figure, 1, 6, 64, 64)
    figure = interpolation_strip(noise(8), np.linspace(0, 1, 8))
    assert texts(figure)[:3] == ["0.00", "0.14", "0.29"]
    assert len(texts(figure)) == 8


def test_denoising_has_three_named_rows_of_one_fixed_range():
    clean, denoised = noise(5) * 0.5, noise(5, seed=1) * 0.5
    noisy = clean + np.float32(0.6)
    figure = denoising_rows(noisy, denoised, clean)
    drawn = cells(figure, 3, 5, 7, 9)[..., 0].astype(int)
    expected = np.concatenate([noisy.clip(0, 1), denoised, clean])[..., 0] * 255
    np.testing.assert_allclose(drawn, expected, atol=1)
    middle = {text.get_text(): text.get_window_extent().y0 for text in figure.axes[0].texts}
    assert middle["noisy"] > middle["denoised"] > middle["clean"]


def test_denoising_takes_bytes_beside_floats():
    clean = np.random.default_rng(0).integers(0, 256, (2, 7, 9, 3), np.uint8)
    figure = denoising_rows(clean.astype(np.float32) / 255, noise(2, channels=3), clean)
    drawn = cells(figure, 3, 2, 7, 9)
    np.testing.assert_array_equal(drawn[:2], clean)
    np.testing.assert_array_equal(drawn[4:], clean)


def test_denoising_rows_of_other_counts_are_refused(unchecked):
    for counts in ((2, 3, 3), (3, 2, 3), (3, 3, 2), (0, 0, 0)):
        with pytest.raises(ValueError, match="must have the same shape"):
            denoising_rows(*(noise(count) for count in counts))
