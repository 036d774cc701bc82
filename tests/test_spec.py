"""Recipes refuse what makes no sense, by name; rules lose nothing on the way there and back."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.errors import UserError
from vae_jax.recipe import Recipe, chosen_images
from vae_jax.spec import ModelSpec, Reference, Rule

RECIPE = Recipe(data="digits", epochs=1, batch_size=2, learning_rate=0.1)

WRONG = [
    ("epochs", -1),
    ("batch_size", 0),
    ("batch_size", -3),
    ("learning_rate", 0.0),
    ("learning_rate", -1e-3),
    ("beta1", 1.0),
    ("beta1", -0.1),
    ("beta2", 1.0),
    ("beta2", 1.5),
    ("epsilon", 0.0),
    ("weight_decay", -1e-5),
    ("beta", -1.0),
    ("seed", -1),
    ("seed", 2**32),
]
NUMBERS = ["learning_rate", "beta1", "beta2", "epsilon", "weight_decay", "beta"]
WRONG += [(name, value) for name in NUMBERS for value in (float("nan"), float("inf"))]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_that_makes_no_sense_is_refused_by_its_fields_name(name, value):
    with pytest.raises(UserError, match=rf"^{name} is {value!r}; expected .+"):
        RECIPE.replace(**{name: value})


def unchecked(**changes):
    """Built without the constructor: the type check of the tests would refuse the value first."""
    recipe = object.__new__(Recipe)
    for key, value in {**dataclasses.asdict(RECIPE), **changes}.items():
        object.__setattr__(recipe, key, value)
    return recipe


@pytest.mark.parametrize("name", ["reduction", "epoch_loss"])
def test_a_word_that_is_no_choice_is_refused(name):
    with pytest.raises(UserError, match=f"^{name} is 'median'; expected sum or mean$"):
        unchecked(**{name: "median"}).__post_init__()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("data", 5, "text"),
        ("images", 5, "text"),
        ("corrupt", None, "text"),
        ("batch_size", True, "a whole number"),
        ("epochs", 2.5, "a whole number"),
        ("beta_warmup", "7", "a whole number"),
        ("seed", None, "a whole number"),
        ("learning_rate", "fast", "a number"),
        ("beta", True, "a number"),
        ("drop_remainder", "no", "true or false"),
        ("drop_remainder", 1, "true or false"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_fields_name(name, value, expected):
    with pytest.raises(UserError, match=f"^{name} is {value!r}; expected {expected}$"):
        unchecked(**{name: value}).__post_init__()


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("beta1", 0.0), ("beta2", 0.0), ("beta", 0.0), ("seed", 2**32 - 1)],
)
def test_values_at_the_border_are_accepted(name, value):
    assert getattr(RECIPE.replace(**{name: value}), name) == value


def test_replace_changes_the_named_fields_alone_and_leaves_the_original():
    changed = RECIPE.replace(epochs=7, beta=4.0)
    assert (changed.epochs, changed.beta, RECIPE.epochs) == (7, 4.0, 1)
    assert changed.replace(epochs=1, beta=1.0) == RECIPE


def test_an_unknown_field_is_refused_with_the_names_there_are():
    with pytest.raises(UserError, match="no field 'lr'; its fields are data, epochs, batch_size"):
        RECIPE.replace(lr=0.1)


def test_specifications_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(RECIPE, "epochs", 2)  # noqa: B010
    for kind in (Recipe, Rule, Reference, ModelSpec):
        assert getattr(kind, "__dataclass_params__").frozen  # noqa: B009


def test_every_field_of_a_recipe_explains_itself():
    for field in dataclasses.fields(Recipe):
        assert field.metadata["help"].endswith("."), field.name


@st.composite
def layouts(draw):
    """Axes, flattened image and source shape of a rule, in every combination.

    (The rule itself is built in the test: its type check draws random numbers, which Hypothesis
    forbids inside a strategy.)
    """
    shape = draw(st.lists(st.integers(1, 4), max_size=4))
    unflatten = None
    if shape and draw(st.booleans()):
        axis = draw(st.integers(0, len(shape) - 1))
        block = draw(st.tuples(*[st.integers(1, 4)] * 3))
        shape[axis] = int(np.prod(block))
        unflatten = (axis, block)
    axes = draw(st.none() | st.permutations(range(len(shape))).map(tuple))
    return axes, unflatten, tuple(shape)


@settings(deadline=None)  # a busy machine is no failure
@given(layout=layouts())
def test_a_rule_and_its_inverse_cancel_in_either_order(layout):
    axes, unflatten, shape = layout
    rule = Rule("source", ("params", "target"), axes, unflatten)
    source = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    target = rule.to_target(source)
    np.testing.assert_array_equal(rule.to_source(target), source)
    renumbered = np.arange(target.size).reshape(target.shape)
    np.testing.assert_array_equal(rule.to_target(rule.to_source(renumbered)), renumbered)
    np.testing.assert_array_equal(np.sort(target, axis=None), np.arange(target.size))


@settings(deadline=None)
@given(layout=layouts())
def test_a_rule_without_a_flattened_image_is_the_plain_permutation(layout):
    axes, _, shape = layout
    rule = Rule("source", ("params", "target"), axes)
    source = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    expected = source if axes is None else np.transpose(source, axes)
    np.testing.assert_array_equal(rule.to_target(source), expected)


@settings(deadline=None)
@given(block=st.tuples(*[st.integers(1, 4)] * 3), seed=st.integers(0, 99))
def test_a_flattened_image_meets_its_dense_layer_in_either_memory_order(block, seed):
    """What the rule is for: the same products of pixels and weights, channels first or last."""
    size, rng = int(np.prod(block)), np.random.default_rng(seed)
    image, weight = rng.integers(-9, 9, block), rng.integers(-9, 9, (3, size))
    into = Rule("w", ("params", "w"), (1, 0), (1, block))
    channels_last = image.transpose(1, 2, 0).reshape(-1)
    np.testing.assert_array_equal(
        channels_last @ into.to_target(weight), weight @ image.reshape(-1)
    )
    out = Rule("w", ("params", "w"), (1, 0), (0, block))
    latent, back = rng.integers(-9, 9, 3), rng.integers(-9, 9, (size, 3))
    expected = (back @ latent).reshape(block).transpose(1, 2, 0)
    actual = (latent @ out.to_target(back)).reshape(expected.shape)
    np.testing.assert_array_equal(actual, expected)
    bias = Rule("b", ("params", "b"), None, (0, block))
    np.testing.assert_array_equal(bias.to_target(image.reshape(-1)), channels_last)


@pytest.mark.parametrize("text", ["5,", "-1", "٣", "1e3", "9" * 5000, "5\n,x", ""])
def test_numbers_of_images_that_are_none_are_refused_in_one_line(text):
    with pytest.raises(UserError, match="expected all, or numbers from 0 such as 5,25") as caught:
        chosen_images(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
