"""Images chosen by attribute."""

import numpy as np
import pytest

from vae_jax.data.dataset import Split, make_dataset
from vae_jax.errors import UserError
from vae_jax.latents import attribute_column, attribute_columns, select_images

COLUMNS = {
    "glasses": np.array(["yes", "no", "yes", "yes"]),
    "person": np.array(["man", "man", "woman", "man"]),
    "lightness": np.array([0.1, 0.7, 1.0, np.nan]),
}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ("glasses=yes", [0, 2, 3]),
        ("glasses=yes,person=man", [0, 3]),
        (" glasses = yes , person = woman ", [2]),
        ("lightness=0.7..1", [1, 2]),
        ("lightness=..0.7", [0, 1]),
        ("lightness=0.5..", [1, 2]),
        ("lightness=0.1", [0]),
        ("glasses=yes,lightness=0..1", [0, 2]),
    ],
)
def test_the_images_that_meet_every_condition_are_chosen(conditions, expected):
    np.testing.assert_array_equal(select_images(COLUMNS, conditions, "faces"), expected)


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ("hat=yes", "faces has no attribute 'hat'; expected one of glasses, person, lightness"),
        ("glases=yes", r"\(did you mean glasses\?\)"),
        ("glasses=maybe", "no image of faces has glasses=maybe; expected one of 'no', 'yes'"),
        ("lightness=2..3", "no image of faces has lightness=2..3; it goes from 0.1 to 1"),
        ("lightness=bright", "lightness holds numbers, found 'bright'"),
        ("lightness=1..0.7", "a range, lower end first"),
        ("glasses=no,person=woman", "no image of faces meets all conditions"),
        ("glasses", "'glasses' is not a condition; expected COLUMN=VALUE"),
        ("glasses=", "is not a condition"),
        ("", "is not a condition"),
        ("glasses=yes,", "'' is not a condition"),
    ],
)
def test_what_no_image_can_meet_is_refused_in_a_line(conditions, told):
    with pytest.raises(UserError, match=told) as caught:
        select_images(COLUMNS, conditions, "faces")
    assert "\n" not in str(caught.value)


def test_many_values_are_told_in_part():
    columns = {"id": np.array([str(number) for number in range(100)])}
    with pytest.raises(UserError, match=r"\(100 in all\)") as caught:
        select_images(columns, "id=x", "faces")
    assert len(str(caught.value)) < 200


def test_the_class_is_an_attribute_of_any_data():
    images, labels = np.zeros((3, 2, 2, 1), np.uint8), np.array([1, 0, 1], np.int32)
    dataset = make_dataset("mine", Split(images, labels), None, ("glasses", "none"))
    columns = attribute_columns(dataset)
    np.testing.assert_array_equal(select_images(columns, "class=none", "mine"), [0, 2])
    with pytest.raises(
        UserError, match="mine has no attribute 'hat', only class; expected attr:class"
    ):
        attribute_column(columns, "hat", "mine")
