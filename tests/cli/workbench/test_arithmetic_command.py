"""``arithmetic`` and its groups: numbers, files, attributes."""

import json

import numpy as np
import pytest
from PIL import Image

from vae_jax.data import open_dataset

from .models import GROUPS, SHAPE, close, means, pictures_of


def test_arithmetic_draws_the_groups_of_the_expression_and_the_result(
    succeed, folders, data, drawn, tmp_path
):
    target = tmp_path / "a.png"
    command = ("arithmetic", folders["digits_vae"], "--data", data, *GROUPS, "--use-mean")
    out = succeed(*command, "three - one + two", "--out", target).out
    assert out == f"three - one + two (three: 3, one: 3, two: 2; posterior means): {target}\n"
    one, two, three = (means(data, n).mean(0) for n in ([0, 3, 14], [1, 5], [-1, -2, -3]))
    (rows, titles, captions), _ = drawn["arithmetic_rows"]
    close(rows[0], pictures_of([three, one, two, three - one + two]))
    assert titles == ("three - one + two",)
    assert captions == [["three", "one", "two", "result"]]
    with Image.open(target) as picture:
        assert picture.size[0] > 3 * picture.size[1]  # no empty page around the row


@pytest.mark.slow
def test_each_expression_is_a_row_with_its_title(succeed, folders, data, drawn, tmp_path):
    command = ("arithmetic", folders["digits_vae"], "--data", data, *GROUPS, "--json")
    rows = ("one/2 + two/2", "--title", "half", "2*one - two", "--title", "more")
    found = json.loads(succeed(*command, *rows, "--out", tmp_path / "a.png").out)
    assert found["rows"][1] == {"expression": "2*one - two", "weights": {"one": 2, "two": -1}}
    assert found["groups"] == {"one": {"images": 3, "of": 3}, "two": {"images": 2, "of": 2}}
    (pictures, titles, _), _ = drawn["arithmetic_rows"]
    assert titles == ("half", "more")
    assert [len(row) for row in pictures] == [3, 3]


@pytest.mark.slow
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


@pytest.mark.slow
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
    (rows, _, _), _ = drawn["arithmetic_rows"]
    first = rows[0]
    succeed(*command, "--seed=5")
    np.testing.assert_array_equal(first, drawn["arithmetic_rows"][0][0][0])


@pytest.mark.slow
def test_a_model_with_labels_decodes_with_the_one_given(
    succeed, cli, folders, data, drawn, tmp_path
):
    command = ("arithmetic", folders["digits_cvae"], "--data", data, *GROUPS, "one", "--use-mean")
    target = ("--out", tmp_path / "a.png")
    assert (
        "digits_cvae takes a label with each image; give label (--label) 0 to 9"
        in cli(*command, *target).error
    )
    succeed(*command, "--label=7", *target)
    # Images of the data are encoded with their own labels: the classes go round.
    hot = np.eye(10, dtype=np.float32)
    z = means(data, [0, 3, 14], "digits_cvae", hot[[0, 3, 4]]).mean(0)
    close(drawn["arithmetic_rows"][0][0][0][:1], pictures_of([z], "digits_cvae", hot[[7]]))
    error = cli("arithmetic", folders["digits_vae"], *GROUPS, "one", "--label=7", *target).error
    assert "digits_vae takes no label; leave out label (--label)" in error


@pytest.mark.slow
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
    (rows, _, _), _ = drawn["arithmetic_rows"]
    close(rows[0][0], pictures_of([means(data, [0]).mean(0)])[0])
    close(rows[1][0], pictures_of([means(data, [1, 2]).mean(0)])[0])


@pytest.mark.slow
def test_groups_can_be_attributes_and_are_capped(
    succeed, folders, data, drawn, attributes, tmp_path
):
    groups = ("--group", "g=attr:glasses=yes,lightness=0.5..1", "--group", "c=attr:class=3")
    command = ("arithmetic", folders["digits_vae"], "--data", data, *groups, "g", "c", "--use-mean")
    out = succeed(*command, "--per-group=4", "--out", tmp_path / "out.png").out
    assert "(g: 4 of 5 images, c: 2; " in out
    (rows, _, _), _ = drawn["arithmetic_rows"]
    close(rows[0][0], pictures_of([means(data, [12, 14, 16, 18]).mean(0)])[0])
    close(rows[1][0], pictures_of([means(data, [3, 13]).mean(0)])[0])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*GROUPS, "one - tow + three"], "column 7: there is no group 'tow'; expected one of one"),
        ([*GROUPS, "one", "--title=a", "--title=b"], "2 titles for 1 expressions"),
        (["--group", "a=0", "--group", "a=1", "a"], "the group 'a' is already defined"),
        (["--group", "a-b=0", "a"], "'a-b' cannot name a group; expected letters, digits and"),
        (["--group", "a", "a"], "--group 'a': expected NAME=IMAGES, with image numbers"),
        (["--group", "a=22", "a"], "no training image 22: expected 0 to 21, or -1 to -22 from"),
        (["--group", "a=-23", "a"], "no training image -23: expected 0 to 21"),
        (["--group", "a=x.png", "a"], "group a: there is no 'x.png'; expected image numbers"),
        (["--group", "a=.", "a"], "group a: the folder . holds no pictures (.jpg .jpeg .png"),
        (["--group", "a=text.png", "a"], "text.png"),
        (
            ["--group", "a=attr:hat=yes", "a"],
            "has no attribute 'hat', only class; expected attr:class",
        ),
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
