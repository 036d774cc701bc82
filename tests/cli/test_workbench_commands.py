"""``arithmetic``, ``interpolate``, ``direction``, ``nearest``, planes and projections."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from vae_jax import figures
from vae_jax.cli import encodings
from vae_jax.data import open_dataset
from vae_jax.data.dataset import Split
from vae_jax.latents import plane
from vae_jax.models import create_model
from vae_jax.training.checkpoint import save_variables

from .test_latents_commands import SMALL, random_weights

SIZES = {"digits_vae": SMALL | {"latent_size": 3}, "digits_cvae": SMALL}
GROUPS = ("--group", "one=0,3,14", "--group", "two=1,5", "--group", "three=-1,-2,-3")
SHAPE = (28, 28, 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Flax checkpoint folders of untrained models, by name."""
    made = {name: tmp_path_factory.mktemp("models") / name for name in SIZES}
    for name, hyper in SIZES.items():
        save_variables(made[name], name, hyper, random_weights(name, **hyper))
    return made


@pytest.fixture
def drawn(monkeypatch):
    """What was handed to the figures, by the figure's name."""
    calls = {}

    def watch(name):
        right = getattr(figures, name)

        def call(*arguments, **options):
            calls[name] = (arguments, options)
            return right(*arguments, **options)

        monkeypatch.setattr(figures, name, call)

    for name in ("arithmetic_rows", "interpolation_strip", "image_table"):
        watch(name)
    for name in ("save_animation", "latent_scatter", "value_scatter"):
        watch(name)
    return calls


@pytest.fixture
def attributes(monkeypatch):
    """Gives the training images attributes: glasses on even ones, lightness by number."""
    right = encodings.open_training_data

    def call(recipe, shape):
        dataset = right(recipe, shape)
        count = len(dataset.train)
        columns = {
            "glasses": np.where(np.arange(count) % 2, "no", "yes"),
            "lightness": np.linspace(0, 1, count),
        }
        train = Split(dataset.train.images, dataset.train.labels, columns)
        return dataclasses.replace(dataset, train=train)

    monkeypatch.setattr(encodings, "open_training_data", call)


def apply(name, method, values, *label) -> Any:
    hyper = SIZES[name]
    model, variables = create_model(name, **hyper), random_weights(name, **hyper)
    return model.apply(variables, values, *label, method=method)


def means(data, numbers, name="digits_vae", *label):
    images = open_dataset(data, SHAPE).train.images[numbers]
    x = images.astype(np.float32) / 127.5 - 1
    return np.asarray(apply(name, "encode", x, *label).mean)


def pictures_of(z, name="digits_vae", *label):
    return (np.asarray(apply(name, "decode", np.float32(z), *label)) + 1) / 2


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_arithmetic_draws_the_groups_of_the_expression_and_the_result(
    succeed, folders, data, drawn, tmp_path
):
    target = tmp_path / "a.png"
    command = ("arithmetic", folders["digits_vae"], "--data", data, *GROUPS, "--use-mean")
    out = succeed(*command, "three - one + two", "--out", target).out
    assert out == f"three - one + two (three: 3, one: 3, two: 2; posterior means): {target}\n"
    one, two, three = (means(data, n).mean(0) for n in ([0, 3, 14], [1, 5], [-1, -2, -3]))
    (rows, titles), _ = drawn["arithmetic_rows"]
    close(rows[0], pictures_of([three, one, two, three - one + two]))
    assert titles == ("three - one + two",)
    with Image.open(target) as picture:
        assert picture.size == (800, 200)  # the tutorial's


def test_each_expression_is_a_row_with_its_title(succeed, folders, data, drawn, tmp_path):
    command = ("arithmetic", folders["digits_vae"], "--data", data, *GROUPS, "--json")
    rows = ("one/2 + two/2", "--title", "half", "2*one - two", "--title", "more")
    found = json.loads(succeed(*command, *rows, "--out", tmp_path / "a.png").out)
    assert found["rows"][1] == {"expression": "2*one - two", "weights": {"one": 2, "two": -1}}
    assert found["groups"] == {"one": {"images": 3, "of": 3}, "two": {"images": 2, "of": 2}}
    (pictures, titles), _ = drawn["arithmetic_rows"]
    assert titles == ("half", "more")
    assert [len(row) for row in pictures] == [3, 3]


def test_a_groups_draws_depend_on_the_seed_and_on_its_images_alone(
    succeed, folders, data, drawn, tmp_path
):
    def encoded(*more):
        command = ("arithmetic", folders["digits_vae"], "--data", data, "--out", tmp_path / "a.png")
        succeed(*command, *more)
        return drawn["arithmetic_rows"][0][0][0][0]

    first = encoded("--group", "a=0,3", "a")
    np.testing.assert_array_equal(first, encoded("--group", "z=1", "--group", "b=0,3", "b"))
    assert (first != encoded("--group", "a=0,3", "a", "--seed=1")).any()
    assert (first != encoded("--group", "a=0,3", "a", "--use-mean")).any()


def test_unbalanced_weights_are_decoded_when_asked_for(cli, succeed, folders, data, tmp_path):
    command = ("arithmetic", folders["digits_vae"], "--data", data, *GROUPS, "one + two")
    target = tmp_path / "a.png"
    error = cli(*command, "--out", target).error
    assert "the weights sum to 2, expected 1 (unbalanced)" in error
    assert "--any-weights" in error
    assert not target.exists()
    succeed(*command, "--any-weights", "--out", target)
    assert target.exists()


def test_a_plain_autoencoder_adds_its_latents(succeed, trained, drawn, tmp_path):
    command = ("arithmetic", trained, *GROUPS, "one - two + three", "--out", tmp_path / "a.png")
    assert "; latents)" in succeed(*command).out
    (rows, _), _ = drawn["arithmetic_rows"]
    first = rows[0]
    succeed(*command, "--seed=5")
    np.testing.assert_array_equal(first, drawn["arithmetic_rows"][0][0][0])


def test_a_model_with_labels_decodes_with_the_one_given(
    succeed, cli, folders, data, drawn, tmp_path
):
    command = ("arithmetic", folders["digits_cvae"], "--data", data, *GROUPS, "one", "--use-mean")
    target = ("--out", tmp_path / "a.png")
    assert "digits_cvae decodes with a label; give --label 0 to 9" in cli(*command, *target).error
    succeed(*command, "--label=7", *target)
    # Images of the data are encoded with their own labels: the classes go round.
    hot = np.eye(10, dtype=np.float32)
    z = means(data, [0, 3, 14], "digits_cvae", hot[[0, 3, 4]]).mean(0)
    close(drawn["arithmetic_rows"][0][0][0][:1], pictures_of([z], "digits_cvae", hot[[7]]))
    error = cli("arithmetic", folders["digits_vae"], *GROUPS, "one", "--label=7", *target).error
    assert "digits_vae takes no label; leave out --label" in error


def test_groups_can_be_files_and_folders(succeed, folders, data, drawn, tmp_path):
    images = open_dataset(data, SHAPE).train.images
    (tmp_path / "more, of them").mkdir()
    names = ["a.png", "more, of them/b.png", "more, of them/c.PNG"]
    for name, image in zip(names, images, strict=False):
        Image.fromarray(image[..., 0]).save(tmp_path / name, format="PNG")
    (tmp_path / "more, of them" / "notes.txt").write_text("no picture")
    groups = (
        f"--group=x={tmp_path}/a.png, {tmp_path}/a.png",
        f"--group=y={tmp_path}/more, of them",
    )
    command = ("arithmetic", folders["digits_vae"], *groups, "x", "y", "--use-mean")
    out = succeed(*command, "--out", tmp_path / "out.png").out
    assert "(x: 2, y: 2; " in out  # and no data source was opened
    (rows, _), _ = drawn["arithmetic_rows"]
    close(rows[0][0], pictures_of([means(data, [0]).mean(0)])[0])
    close(rows[1][0], pictures_of([means(data, [1, 2]).mean(0)])[0])


def test_groups_can_be_attributes_and_are_capped(
    succeed, folders, data, drawn, attributes, tmp_path
):
    groups = ("--group", "g=attr:glasses=yes,lightness=0.5..1", "--group", "c=attr:class=3")
    command = ("arithmetic", folders["digits_vae"], "--data", data, *groups, "g", "c", "--use-mean")
    out = succeed(*command, "--per-group=4", "--out", tmp_path / "out.png").out
    assert "(g: 4 of 5 images, c: 2; " in out
    (rows, _), _ = drawn["arithmetic_rows"]
    close(rows[0][0], pictures_of([means(data, [12, 14, 16, 18]).mean(0)])[0])
    close(rows[1][0], pictures_of([means(data, [3, 13]).mean(0)])[0])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*GROUPS, "one - tow + three"], "column 7: there is no group 'tow'; expected one of one"),
        ([*GROUPS, "one", "--title=a", "--title=b"], "2 titles for 1 expressions"),
        (["--group", "a=0", "--group", "a=1", "a"], "there is a group 'a' already"),
        (["--group", "a-b=0", "a"], "'a-b' cannot name a group; expected letters, digits and"),
        (["--group", "a", "a"], "--group 'a': expected NAME=IMAGES, with image numbers"),
        (["--group", "a=22", "a"], "no training image 22: expected 0 to 21, or -1 to -22 from"),
        (["--group", "a=-23", "a"], "no training image -23: expected 0 to 21"),
        (["--group", "a=x.png", "a"], "group a: there is no 'x.png'; expected image numbers"),
        (["--group", "a=.", "a"], "group a: the folder . holds no pictures (.jpg .jpeg .png"),
        (["--group", "a=text.png", "a"], "text.png"),
        (["--group", "a=attr:hat=yes", "a"], "has no attributes, so none 'hat'; expected class"),
        (["--group", "a=attr:class=x", "a"], "has class=x; expected one of '0', '1', '2'"),
    ],
)
def test_a_wrong_group_is_told_in_a_line(cli, folders, data, tmp_path, arguments, told):
    (tmp_path / "cwd" / "text.png").write_text("no picture")
    if "a=." in arguments:
        (tmp_path / "cwd" / "text.png").unlink()
    target = tmp_path / "a.png"
    error = cli("arithmetic", folders["digits_vae"], "--data", data, *arguments, "--out", target)
    assert told in error.error
    assert not target.exists()


def test_an_interpolation_goes_from_group_to_group(succeed, folders, data, drawn, tmp_path):
    command = ("interpolate", folders["digits_vae"], "--data", data, *GROUPS, "--use-mean")
    out = succeed(*command, "--from", "one", "--to", "-1", "--out", tmp_path / "a.png").out
    assert out.startswith("one to -1, 6 steps, linear (one: 3, -1: 1; posterior means): ")
    start, end = means(data, [0, 3, 14]).mean(0), means(data, [-1])[0]
    z = [w * end + (1 - w) * start for w in np.linspace(0, 1, 6)]
    ((pictures,), _) = drawn["interpolation_strip"]
    close(pictures, pictures_of(z))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (640, 480)  # the tutorial's


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
        (["--from=0", "--to=1", "--out=a.jpg"], "--out a.jpg: expected a name that ends in .png"),
        (["--from=0", "--to=1", "--steps=1"], "1 is not in the range x>=2"),
    ],
)
def test_an_interpolation_that_cannot_be_is_refused(cli, folders, data, arguments, told):
    command = ("interpolate", folders["digits_vae"], "--data", data, *GROUPS)
    assert told in cli(*command, *arguments).error


def test_a_direction_is_added_in_strengths(
    succeed, cli, folders, data, drawn, attributes, tmp_path
):
    command = ("direction", folders["digits_vae"], "--data", data, "--use-mean", "--on=5")
    sides = ("--with=attr:glasses=yes", "--without=attr:glasses=no")
    succeed(*command, *sides, "--strength=-2", "--strength=0.5", "--out", tmp_path / "a.png")
    way = means(data, range(0, 22, 2)).mean(0) - means(data, range(1, 22, 2)).mean(0)
    ((pictures,), titles), _ = drawn["arithmetic_rows"]
    close(pictures, pictures_of(means(data, [5]) + np.outer([-2, 0.5], way)))
    assert titles == ["5 + -2, 0.5 x (attr:glasses=yes - attr:glasses=no)"]
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


@pytest.mark.parametrize("project", ["pca", "tsne"])
def test_a_projection_draws_all_dimensions_in_two(
    succeed, cli, folders, data, drawn, attributes, tmp_path, project
):
    command = ("latents", folders["digits_vae"], "--data", data, "--project", project)
    out = succeed(*command, "--colour-by=lightness", "--out", tmp_path, "--json").out
    axes = json.loads(out)["axes"]
    assert axes[0].startswith("Component 1: " if project == "pca" else "t-SNE 1")
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
    assert "has no attributes, so none 'glasses'; expected class" in error


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
    assert f"{found['median_distance']:.4f} of a sample, {among:.4f} of a training image" in out
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
