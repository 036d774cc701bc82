"""``interpolate``, ``direction``, ``nearest``, planes and projections."""

import json

import numpy as np
import pytest
from PIL import Image, ImageSequence

from vae_jax.data import open_dataset
from vae_jax.latents import plane

from .models import GROUPS, SHAPE, close, means, pictures_of


def test_an_interpolation_goes_from_group_to_group(succeed, folders, data, drawn, tmp_path):
    command = ("interpolate", folders["digits_vae"], "--data", data, *GROUPS, "--use-mean")
    out = succeed(*command, "--from", "one", "--to", "-1", "--out", tmp_path / "a.png").out
    assert out.startswith("one to -1, 6 steps, linear (one: 3, -1: 1; posterior means): ")
    start, end = means(data, [0, 3, 14]).mean(0), means(data, [-1])[0]
    z = [w * end + (1 - w) * start for w in np.linspace(0, 1, 6)]
    (pictures, weights), options = drawn["interpolation_strip"]
    assert options == {"title": "one to -1, linear"}
    close(pictures, pictures_of(z))
    np.testing.assert_allclose(weights, np.linspace(0, 1, 6))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 4 * picture.size[1]  # no empty page around the strip


def test_an_animation_goes_there_and_back(succeed, folders, data, tmp_path):
    command = ("interpolate", folders["digits_vae"], "--data", data, "--from=0", "--to=1")
    more = ("--steps=4", "--kind=spherical", "--json", "--out", tmp_path / "a.gif")
    assert json.loads(succeed(*command, *more).out)["kind"] == "spherical"
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.format == "GIF"
        assert len(list(ImageSequence.Iterator(picture))) == 6


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--from=on", "--to=1"],
            "group on: there is no 'on'; expected one of one, two, three, or",
        ),
        (["--from=0", "--to=1", "--out=a.tif"], "a.tif ends in .tif; expected one of .png"),
        (["--from=0", "--to=1", "--steps=1"], "1 is not in the range x>=2"),
    ],
)
def test_an_interpolation_that_cannot_be_is_refused(cli, folders, data, arguments, told):
    command = ("interpolate", folders["digits_vae"], "--data", data, *GROUPS)
    assert told in cli(*command, *arguments).error


@pytest.mark.slow
def test_a_direction_is_added_in_strengths(
    succeed, cli, folders, data, drawn, attributes, tmp_path
):
    command = ("direction", folders["digits_vae"], "--data", data, "--use-mean", "--on=5")
    sides = ("--with=attr:glasses=yes", "--without=attr:glasses=no")
    succeed(*command, *sides, "--strength=-2", "--strength=0.5", "--out", tmp_path / "a.png")
    way = means(data, range(0, 22, 2)).mean(0) - means(data, range(1, 22, 2)).mean(0)
    ((pictures,), titles, captions), _ = drawn["arithmetic_rows"]
    close(pictures, pictures_of(means(data, [5]) + np.outer([-2, 0.5], way)))
    assert titles == ["5 + strength x (attr:glasses=yes - attr:glasses=no)"]
    assert captions == [["-2", "0.5"]]
    assert "expected finite numbers" in cli(*command, *sides, "--strength=nan").error


def test_a_plane_goes_through_three_groups(succeed, cli, folders, data, drawn, tmp_path):
    command = ("manifold", folders["digits_vae"], "--data", data, *GROUPS, "--use-mean")
    through, table = ("--plane", "one", "7", "two"), ("--rows=3", "--columns=4", "--around=0.5")
    out = succeed(*command, *through, *table, "--out", tmp_path / "a.png").out
    assert out.startswith("one to 7 from -0.5 to 1.5, one to two from -0.5 to 1.5: ")
    a, b, c = (means(data, numbers).mean(0) for numbers in ([0, 3, 14], [7], [1, 5]))
    z = plane(a, b - a, c - a, (-0.5, 1.5), (-0.5, 1.5), 4, 3)
    close(drawn["image_table"][0][0], pictures_of(z))
    error = cli(*command, *through, "--dimensions", 0, 1).error
    assert "--plane and --dimensions exclude each other" in error


def test_a_plain_autoencoder_has_planes_and_projections(succeed, trained, tmp_path):
    succeed("manifold", trained, "--plane", 0, 1, 2, "--rows=2", "--out", tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
    succeed("latents", trained, "--project=pca", "--out", tmp_path / "latents")
    assert [path.name for path in (tmp_path / "latents").iterdir()] == ["latent.png"]


@pytest.mark.parametrize("project", ["pca", pytest.param("tsne", marks=pytest.mark.slow)])
def test_a_projection_draws_all_dimensions_in_two(
    succeed, cli, folders, data, drawn, attributes, tmp_path, project
):
    command = ("latents", folders["digits_vae"], "--data", data, "--project", project)
    out = succeed(*command, "--colour-by=lightness", "--out", tmp_path, "--json").out
    axes = json.loads(out)["axes"]
    assert axes[0].startswith("component 0: " if project == "pca" else "t-SNE 0")
    assert not (tmp_path / "std.png").exists()
    (points, values), options = drawn["value_scatter"]
    assert points.shape == (22, 2)
    np.testing.assert_array_equal(values, np.linspace(0, 1, 22))
    assert options == {"title": "Mean", "name": "lightness"}
    succeed(*command, "--colour-by=glasses", "--out", tmp_path)
    (_, labels), options = drawn["latent_scatter"]
    assert options["class_names"] == ("no", "yes")
    np.testing.assert_array_equal(labels, (np.arange(22) + 1) % 2)
    assert "exclude each other" in cli(*command, "--dimensions", 0, 1).error


def test_colours_by_an_attribute_that_is_not_there_are_refused(cli, folders, data):
    error = cli("latents", folders["digits_vae"], "--data", data, "--colour-by=glasses").error
    assert "has no attribute 'glasses', only class; expected attr:class" in error


def test_samples_stand_beside_their_nearest_training_images(
    succeed, cli, folders, data, drawn, tmp_path
):
    command = ("nearest", folders["digits_vae"], "--data", data, "--count=4", "--neighbours=2")
    found = json.loads(succeed(*command, "--json", "--out", tmp_path / "a.png").out)
    (table, columns), options = drawn["image_table"]
    rows = table.reshape(4, 3, -1)
    assert columns == 3
    training = open_dataset(data, SHAPE).train.images.reshape(22, -1) / np.float32(255)
    distances = np.sqrt(((rows[:, :1] - training[None]) ** 2).mean(-1))
    np.testing.assert_array_equal(found["numbers"], np.argsort(distances)[:, :2])
    close(found["distances"], np.sort(distances)[:, :2])
    close(rows[:, 1:], training[np.array(found["numbers"])])
    assert found["median_distance"] == pytest.approx(np.median(distances.min(1)), rel=1e-5)
    between = np.sqrt(((training[:, None] - training[None]) ** 2).mean(-1))
    among = np.median(np.sort(between)[:, 1])
    assert found["median_among_training_images"] == pytest.approx(among, rel=1e-5)
    assert options["row_titles"] == [f"{row[0]:.3f}" for row in found["distances"]]
    out = succeed(*command, "--out", tmp_path / "a.png").out
    assert out.startswith(f"sample 0: training image {found['numbers'][0][0]} at ")
    assert f"{found['median_distance']:.4f} from a sample, {among:.4f} from another" in out
    assert "22 training images; expected at least 23" in cli(*command, "--neighbours=23").error


def test_nearest_samples_each_label_of_a_model_that_has_them(succeed, cli, folders, data, drawn):
    command = ("nearest", folders["digits_cvae"], "--data", data, "--count=4")
    succeed(*command, "--label=3")
    threes = drawn["image_table"][0][0][::4]
    succeed(*command)
    each = drawn["image_table"][0][0][::4]
    np.testing.assert_array_equal(each[3], threes[3])
    assert (each[:3] != threes[:3]).any()
    error = cli("nearest", folders["digits_vae"], "--data", data, "--label=3").error
    assert "digits_vae takes no label" in error


def test_a_plain_autoencoder_has_no_samples_to_compare(cli, trained):
    assert "digits_ae is a plain autoencoder: it has no prior" in cli("nearest", trained).error
