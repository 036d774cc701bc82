"""The texts in a recipe: corruptions and numbers of images, read exactly or refused in one line."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.errors import UserError
from vae_jax.recipe import CORRUPTIONS, Corruption, Recipe, chosen_images, parse_corruption

RECIPE = Recipe(data="digits", epochs=1, batch_size=2, learning_rate=0.1)
FORMS = ("gaussian:0.3", "mask:0.5", "salt-pepper:0.1")
# Of the letters that matter and a few odd ones: a table of all of Unicode takes seconds to build.
TEXTS = st.lists(st.sampled_from([*FORMS, "none", "all", "5", *"0123,:.-+eninf \n\0²٣"])).map(
    "".join
)


@pytest.mark.parametrize("text", [*FORMS, "none", "gaussian:2", "mask:1", "salt-pepper:0"])
def test_a_corruptions_text_is_given_back(text):
    assert str(parse_corruption(text)) == text
    assert RECIPE.replace(corrupt=text).corrupt == text


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(CORRUPTIONS[:3]), st.floats(0, 1) | st.floats(0, 1e300))
def test_every_corruption_survives_its_text(kind, amount):
    if kind == "gaussian" or amount <= 1:
        corruption = Corruption(kind, amount)
        assert parse_corruption(str(corruption)) == corruption


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "''"),
        ("blur:0.3", "'blur:0.3'"),
        ("Gaussian:0.3", "'Gaussian:0.3'"),
        ("gaussian", "no amount"),
        ("mask:", "no amount"),
        ("gaussian:much", "'much', which is not a number"),
        ("gaussian:0.3:0.4", "'0.3:0.4', which is not a number"),
        ("gaussian:nan", "by nan"),
        ("gaussian:1e999", "by inf"),
        ("gaussian:-0.1", "by -0.1"),
        ("mask:1.5", "by 1.5, a probability above 1"),
        ("salt-pepper:1.0000001", "a probability above 1"),
        ("none:0.3", "none has no amount"),
        ("mask\n:0.3", r"'mask\\n:0.3'"),
    ],
)
def test_what_is_no_corruption_is_named_and_the_forms_are_listed(text, found):
    for read in (parse_corruption, lambda text: RECIPE.replace(corrupt=text)):
        with pytest.raises(UserError, match=found) as caught:
            read(text)
        message = str(caught.value)
        assert len(message.splitlines()) == 1
        assert all(form in message for form in FORMS)


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_any_text_is_a_corruption_or_a_one_line_error(text):
    try:
        assert parse_corruption(text).kind in CORRUPTIONS
    except UserError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


@pytest.mark.parametrize(
    ("kind", "amount"), [("blur", 0.1), ("mask", 1.1), ("gaussian", math.nan), ("none", 0.1)]
)
def test_a_corruption_made_by_hand_is_checked_too(kind, amount):
    with pytest.raises(UserError):
        Corruption(kind, amount)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_numbers_of_images_are_read_as_they_are_written(numbers):
    assert chosen_images(",".join(map(str, numbers))) == numbers
    assert chosen_images(" , ".join(map(str, numbers))) == numbers


def test_all_is_every_image_and_the_default():
    assert chosen_images("all") is None
    assert RECIPE.images == "all"


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_any_other_text_is_numbers_of_images_or_an_error_of_one_line(text):
    try:
        chosen = chosen_images(text)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert chosen is None or all(number >= 0 for number in chosen)


@pytest.mark.parametrize(
    "text", ["", ",", "5,", "-1", "5;25", "5-25", "1.0", "five", "ALL", "5 25", "²", "٣", "1_0"]
)
def test_what_is_no_number_of_an_image_is_refused_with_the_form(text):
    for read in (chosen_images, lambda text: RECIPE.replace(images=text)):
        with pytest.raises(UserError) as caught:
            read(text)
        expected = f"images is {text!r}; expected all, or numbers from 0 such as 5,25"
        assert str(caught.value) == expected
