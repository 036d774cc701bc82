"""The scatter of a latent space: colours, markers, names, and what is refused."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba, to_rgba_array

from vae_jax.figures import latent_scatter, save_figure, value_scatter
from vae_jax.figures.latents import COLOURS


def points(count):
    return np.random.default_rng(0).standard_normal((count, 2)).astype(np.float32)


def drawn(figure):
    """Places and colours of the dots."""
    dots = figure.axes[0].collections[0]
    return np.asarray(dots.get_offsets()), dots.get_facecolors()


def legend(figure):
    box = figure.axes[0].get_legend()
    return {
        text.get_text(): to_rgba(handle.get_color())
        for text, handle in zip(box.get_texts(), box.legend_handles, strict=True)
    }


def test_dots_are_in_place_and_order_with_ten_colours_and_show_what_they_cover():
    place, label = points(40), np.arange(40, dtype=np.int32)[::-1] % 10
    offsets, colours = drawn(latent_scatter(place, label, title="Mean"))
    np.testing.assert_allclose(offsets, place)
    np.testing.assert_allclose(colours, to_rgba_array([COLOURS[k] for k in label], 0.7))


def test_the_axes_and_title_have_the_tutorials_names():
    axes = latent_scatter(points(3), np.arange(3), title="Std").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("dimension 0", "dimension 1")
    assert axes.get_title() == "Std"


def test_the_legend_names_the_classes_that_occur():
    figure = latent_scatter(points(3), np.array([7, 2, 7]), title="Mean")
    assert legend(figure) == {"2": to_rgba(COLOURS[2]), "7": to_rgba(COLOURS[7])}
    figure = latent_scatter(points(2), np.array([0, 2]), title="Mean", class_names=["a", "b", "c"])
    assert legend(figure) == {"a": to_rgba(COLOURS[0]), "c": to_rgba(COLOURS[2])}


def test_the_legend_hides_no_point():
    figure = latent_scatter(points(10), np.arange(10), title="Mean")
    figure.canvas.draw()
    axes = figure.axes[0]
    box = axes.get_legend().get_window_extent()
    assert axes.get_window_extent().x1 < box.x0 < box.x1 <= figure.bbox.x1


def test_every_ten_classes_have_a_marker_of_their_own():
    label = np.arange(45)
    axes = latent_scatter(points(45), label, title="Mean").axes[0]
    assert len(axes.collections) == 5
    colours = np.concatenate([dots.get_facecolors() for dots in axes.collections])
    np.testing.assert_allclose(colours, to_rgba_array([COLOURS[k % 10] for k in label], 0.7))
    shapes = {dots.get_paths()[0].vertices.tobytes() for dots in axes.collections}
    assert len(shapes) == 5
    markers = [line.get_marker() for line in axes.get_legend().legend_handles]
    assert len(set(markers[:20:10] + markers[20::10])) == 5


def test_more_points_than_the_tutorials_are_drawn_smaller():
    areas = [
        latent_scatter(points(n), np.zeros(n, int), title="").axes[0].collections[0].get_sizes()
        for n in (10, 1000, 2000, 50_000)
    ]
    np.testing.assert_allclose(np.concatenate(areas), [36, 36, 18, 3.6])


def test_points_that_are_not_finite_are_left_out_without_warnings(tmp_path, recwarn):
    place = points(4)
    place[0, 0], place[1, 1] = np.nan, np.inf
    save_figure(latent_scatter(place, np.arange(4), title="Mean"), tmp_path / "a.png")
    save_figure(latent_scatter(place[:2], np.arange(2), title="Mean"), tmp_path / "b.png")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("shape", "label"), [((3, 3), [0, 0, 0]), ((3, 1), [0, 0, 0]), ((3, 2), [0, 0]), ((0, 2), [])]
)
def test_what_are_no_points_of_a_plane_is_refused(shape, label):
    with pytest.raises(ValueError, match=r"must be \[N, 2\]"):
        latent_scatter(np.zeros(shape, np.float32), np.array(label, int), title="Mean")


def test_a_label_without_a_class_is_refused():
    with pytest.raises(ValueError, match="labels -1 to 0"):
        latent_scatter(points(2), np.array([-1, 0]), title="Mean")
    with pytest.raises(ValueError, match="labels 0 to 2 for 2 classes"):
        latent_scatter(points(2), np.array([0, 2]), title="Mean", class_names=["a", "b"])


def test_numbers_are_drawn_on_a_scale_and_the_unknown_in_grey(tmp_path):
    points = np.random.default_rng(0).standard_normal((5, 2))
    values = np.array([0.1, np.nan, 0.4, 0.9, np.nan])
    figure = value_scatter(points, values, title="Mean", name="lightness")
    grey, coloured = figure.axes[0].collections
    np.testing.assert_array_equal(grey.get_offsets(), points[[1, 4]])
    np.testing.assert_array_equal(coloured.get_array(), values[[0, 2, 3]])
    assert figure.axes[1].get_ylabel() == "lightness"
    save_figure(figure, tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"must be \[N, 2\] and \[N\]"):
        value_scatter(np.zeros((5, 3)), values, title="Mean", name="lightness")
