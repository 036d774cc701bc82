"""Groups of images as a user writes them, and their encodings."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from vae_jax.cli.arithmetic import arithmetic
from vae_jax.data.dataset import Split, make_dataset
from vae_jax.distributions import Deterministic
from vae_jax.errors import UserError
from vae_jax.latents.groups import PER_GROUP, SEED, Groups, parse_group
from vae_jax.models import get_spec
from vae_jax.pretrained import Pretrained


@dataclasses.dataclass(frozen=True, eq=False)
class Bright(Pretrained):
    """A model whose latent is an image's mean pixel, twice."""

    def encode(self, images, label=None, *, check_range=True):
        mean = np.repeat(images.mean(axis=(1, 2, 3))[:, None], 2, axis=1).astype(np.float32)
        return Deterministic(mean)


@pytest.fixture
def make(tmp_path):
    images = np.broadcast_to(
        np.arange(100, dtype=np.uint8)[:, None, None, None], (100, 28, 28, 1)
    ).copy()
    columns = {"even": np.where(np.arange(100) % 2, "no", "yes")}
    split = Split(images, np.zeros(100, np.int32), columns)
    dataset = make_dataset("shades", split, None, ("0",))
    model = Bright("digits_vae", {}, {}, get_spec("digits_vae").recipe)

    def groups(definitions=None, **options):
        return Groups(model, definitions or {}, lambda: dataset, **options)

    return groups


@pytest.mark.parametrize(
    ("text", "mean", "counts"),
    [
        ("7", 7, (1, 1)),
        ("0, 3 ,-1", 34, (3, 3)),
        ("0,\x1f3\x1c,-1", 34, (3, 3)),  # white space to str.strip, though not to int
        ("attr:even=yes", 49, (50, 50)),
    ],
)
def test_a_group_is_numbers_or_attributes(make, text, mean, counts):
    groups = make({"g": text})
    np.testing.assert_allclose(groups.encoding("g"), [mean, mean])
    np.testing.assert_allclose(groups.encoding(text), [mean, mean])
    assert groups.summary()["g"] == {"images": counts[0], "of": counts[1]}


def test_a_group_is_picture_files_and_folders(make, tmp_path):
    for name, value in (("a,b.png", 10), ("more/c.png", 20), ("more/d.jpg", 30)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (28, 28), value).save(tmp_path / name, quality=100)
    groups = make()
    np.testing.assert_allclose(groups.encoding(f"{tmp_path}/a,b.png"), [10, 10])
    np.testing.assert_allclose(groups.encoding(f"{tmp_path}/more/"), [25, 25])
    np.testing.assert_allclose(
        groups.points(f"{tmp_path}/more/c.png,{tmp_path}/more/d.jpg")[:, 0], [20, 30]
    )
    with pytest.raises(UserError, match=r"expected image numbers .* or attributes"):
        make(allow_files=False).encoding(f"{tmp_path}/more/")


def test_those_with_attributes_are_capped_and_counted(make):
    groups = make(per_group=3)
    np.testing.assert_allclose(groups.points("attr:even=yes")[:, 0], [0, 2, 4])
    assert str(groups) == "attr:even=yes: 3 of 50 images; seed 0"
    assert str(make(seed=None)).endswith("posterior means")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("100", "group 100: shades has no training image 100: expected 0 to 99"),
        ("menn", "group menn: there is no 'menn'; expected one of men, or image numbers"),
        ("menn", "(did you mean men?)"),
        ("attr:hat=yes", "shades has no attribute 'hat'"),
    ],
)
def test_images_that_are_not_there_are_refused(make, text, told):
    with pytest.raises(UserError) as caught:
        make({"men": "0"}).encoding(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a", "expected NAME=IMAGES, with image numbers"),
        ("a=", "expected NAME=IMAGES"),
        ("2b=1", "'2b' cannot name a group"),
        ("men = 1", "the group 'men' is already defined"),
    ],
)
def test_a_definition_of_another_form_is_refused(text, told):
    with pytest.raises(UserError) as caught:
        parse_group(text, {"men": "0"})
    assert told in str(caught.value)
    assert parse_group(" women = 1, 2 ", {"men": "0"}) == ("women", "1, 2")


def test_the_command_line_encodes_groups_as_the_explorer_does():
    defaults = {option.name: option.default for option in arithmetic.params}
    assert defaults["per_group"] == PER_GROUP
    assert defaults["seed"] == SEED
    assert defaults["use_mean"] is not True
