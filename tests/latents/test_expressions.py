"""Expressions of groups: what they weigh, and where a wrong one is wrong."""

import time

import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.latents import is_group_name, parse_expression

NAMES = ["a", "b", "men_g", "women_g", "women_ng"]


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("men_g - women_g + women_ng", {"men_g": 1, "women_g": -1, "women_ng": 1}),
        ("0.5*a + 0.5*b", {"a": 0.5, "b": 0.5}),
        ("2*(a - b)/4", {"a": 0.5, "b": -0.5}),
        ("-a", {"a": -1}),
        ("a", {"a": 1}),
        ("b-a", {"b": 1, "a": -1}),
        ("a - (b - a)", {"a": 2, "b": -1}),
        ("a - b - a", {"a": 0, "b": -1}),
        ("a*2", {"a": 2}),
        ("(1 + 2)/3*a", {"a": 1}),
        ("--+a", {"a": 1}),
        (".5e1 * a / 1e-1", {"a": 50}),
        (" a\n+\tb ", {"a": 1, "b": 1}),
    ],
)
def test_the_weights_are_those_of_the_combination(text, weights):
    found = parse_expression(text, NAMES)
    assert found == pytest.approx(weights)
    assert list(found) == list(weights)  # in the order of their first use


def test_random_expressions_weigh_as_python_computes_them():
    random = np.random.default_rng(0)
    units = dict(zip(["a", "b", "women_g"], np.eye(3), strict=True))

    def make(depth):
        if depth == 0:
            return str(random.choice(["a", "b", "women_g"]))
        left, right = make(depth - 1), make(depth - 1)
        number = f"{random.integers(1, 9)}"
        forms = [f"{left} + {right}", f"{left} - {right}", f"{number}*({left})", f"({left})"]
        return random.choice([*forms, f"-({left} - {right})", f"({left})/{number}"])

    for _ in range(20):
        text = make(5)
        # The text is our own; Python is the reference here.
        expected = eval(text, {}, units)
        found = sum(weight * units[name] for name, weight in parse_expression(text, NAMES).items())
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("men_g - womn_g", "\"men_g - >>womn_g<<\": column 9: there is no group 'womn_g'; exp"),
        ("(a - b", '">>(<<a - b": column 1: this parenthesis is not closed'),
        ("a - b)", '"a - b>>)<<": column 6: this parenthesis was never opened'),
        ("a -", '"a ->><<": column 4: an operand is missing'),
        ("a + * b", '"a + >>*<< b": column 5: an operand is missing'),
        ("()", "column 2: an operand is missing"),
        ("", "column 1: an operand is missing"),
        ("a * b", '"a >>*<< b": column 3: a product of two groups is not linear'),
        ("a / b", "column 5: nothing can be divided by a group"),
        ("1 / a", "column 5: nothing can be divided by a group"),
        ("a + 1", '"a + >>1<<": column 5: a number cannot be added to a group'),
        ("1 + a", "column 1: a number cannot be added to a group"),
        ("3", "column 1: a number is not an encoding"),
        ("a / 0", '"a / >>0<<": column 5: division by zero'),
        ("a / (2 - 2)", "column 6: division by zero"),
        ("1e999 * a", "column 1: a number here is too large"),
        ("1e300 * 1e300 * a", "column 7: a number here is too large"),
        ("a / 1e-300 / 1e-300", "column 12: a number here is too large"),
        ("2a", '"2>>a<<": column 2: expected an operator (+ - * /) before this'),
        ("a b", "column 3: expected an operator"),
        ("(a b)", "column 4: expected an operator (+ - * /) or ) before this"),
        ("a ** 2", "column 4: an operand is missing"),
        ("a ^ 2", "column 3: unexpected character"),
        ("a.b", "column 2: unexpected character"),
        ("__import__('os')", "column 1: there is no group '__import__'"),
        ("nan * a", "column 1: there is no group 'nan'"),
        ("(" * 5000 + "a", "column 101: nested deeper than 100 levels"),
        ("-" * 5000 + "a", "column 101: nested deeper than 100 levels"),
    ],
)
def test_an_error_is_one_line_that_marks_the_place(text, told):
    with pytest.raises(UserError) as caught:
        parse_expression(text, NAMES)
    message = str(caught.value)
    assert told in message
    assert "\n" not in message
    assert len(message) < 300


def test_an_unknown_group_is_told_with_the_known_and_the_nearest():
    with pytest.raises(UserError) as caught:
        parse_expression("men_g - womn_g", ["men_g", "women_g", "women_ng"])
    assert str(caught.value).endswith(
        "expected one of men_g, women_g, women_ng (did you mean women_g?)"
    )
    with pytest.raises(UserError, match="there is no group 'a'; none is defined"):
        parse_expression("a", [])


def test_thousands_of_terms_are_no_depth():
    assert parse_expression(" + ".join(["a"] * 5000), NAMES) == {"a": 5000}


def test_only_what_an_expression_reads_back_is_a_group_name():
    for name in ("a", "men_g", "_2", "Männer", "眼镜"):
        assert is_group_name(name)
        assert parse_expression(name, [name]) == {name: 1.0}
    for name in ("", "2a", "a-b", "a b", "a.b"):
        assert not is_group_name(name)


@pytest.mark.slow
def test_the_time_for_an_expression_grows_as_its_length():
    def seconds(terms):
        begin = time.process_time()
        assert parse_expression("a" + " + a" * terms, ["a"]) == {"a": terms + 1.0}
        return time.process_time() - begin

    # Twenty times as many terms: 400 times as long if it were the square.
    assert seconds(10_000) < 100 * min(seconds(500) for _ in range(3))


@pytest.mark.parametrize("text", ["x" * 5000, "9" * 5000, "a" + " " * 5000 + "b"])
def test_an_error_quotes_little_of_a_long_text(text):
    with pytest.raises(UserError, match="column") as caught:
        parse_expression(text, ["a"])
    assert len(str(caught.value)) < 400
