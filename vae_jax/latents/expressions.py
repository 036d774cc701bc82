"""Parse linear combinations of named groups, such as ``men_g - women_g + women_ng``.

That is the expression of tutorial 002's listing 7.9. A recursive descent over the grammar

    sum     = product { ("+" | "-") product }
    product = factor { ("*" | "/") factor }
    factor  = ("+" | "-") factor | "(" sum ")" | number | name

computes the weights; nothing is evaluated as Python.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable
from typing import NoReturn

from vae_jax.errors import UserError

_NAME = r"[^\W\d]\w*"
_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|(?P<name>{_NAME})|(?P<sign>[-+*/()])")
_SPACE = re.compile(r"\s*")
_DEEPEST = 100  # levels of parentheses and signs, far below Python's recursion limit
_AROUND = 60  # characters quoted on each side of an error


def is_group_name(text: str) -> bool:
    """Return whether a group can have this name: letters, digits, underscores, no digit first.

    >>> is_group_name("women_ng"), is_group_name("women-ng")
    (True, False)
    """
    return re.fullmatch(_NAME, text) is not None


def parse_expression(text: str, names: Iterable[str]) -> dict[str, float]:
    """Return the weight of each group in a linear combination of groups.

    Groups can be added, subtracted, and multiplied or divided by numbers, with parentheses.

    >>> parse_expression("men_g - women_g + women_ng", ["men_g", "women_g", "women_ng"])
    {'men_g': 1.0, 'women_g': -1.0, 'women_ng': 1.0}
    >>> parse_expression("2*(a - b)/4", ["a", "b"])
    {'a': 0.5, 'b': -0.5}

    Args:
        text: the expression.
        names: the groups that it may name.

    Returns:
        Names to weights, in the order of their first use; a group that cancels out has 0.

    Raises:
        UserError: the text is not such a combination; the message marks the place.
    """
    return _Parser(text, tuple(names)).parse()


@dataclasses.dataclass(frozen=True)
class _Token:
    kind: str  # "number", "name", "end", or the sign itself
    text: str
    start: int


@dataclasses.dataclass(frozen=True)
class _Value:
    """A number or, if there are weights, a combination of groups; and its position."""

    number: float
    weights: dict[str, float] | None
    at: _Token

    def scaled(self, factor: float) -> _Value:
        weights = None if self.weights is None else _scaled(self.weights, factor)
        return _Value(self.number * factor, weights, self.at)


class _Parser:
    def __init__(self, text: str, names: tuple[str, ...]):
        self.text, self.names = text, names
        self.place = self.depth = 0
        self.token = self.next_token()

    def parse(self) -> dict[str, float]:
        found = self.sum()
        if self.token.kind == ")":
            self.fail(self.token, "this parenthesis was never opened")
        if self.token.kind != "end":
            self.fail(self.token, "expected an operator (+ - * /) before this")
        if found.weights is None:
            self.fail(found.at, "a number is not an encoding; expected a combination of groups")
        return found.weights

    def sum(self) -> _Value:
        left = self.product()
        while self.token.kind in ("+", "-"):
            sign = self.advance()
            right = self.product()
            if (left.weights is None) != (right.weights is None):
                number = left if left.weights is None else right
                self.fail(number.at, "a number cannot be added to a group, only multiply one")
            right = right.scaled(-1.0 if sign.kind == "-" else 1.0)
            weights = left.weights
            if weights is not None and right.weights is not None:
                weights = {**weights}
                for name, weight in right.weights.items():
                    weights[name] = weights.get(name, 0.0) + weight
            left = self.finite(_Value(left.number + right.number, weights, left.at), sign)
        return left

    def product(self) -> _Value:
        left = self.factor()
        while self.token.kind in ("*", "/"):
            sign = self.advance()
            right = self.factor()
            if sign.kind == "/":
                if right.weights is not None:
                    self.fail(right.at, "nothing can be divided by a group, only by a number")
                if right.number == 0:
                    self.fail(right.at, "division by zero")
                left = self.finite(_divided(left, right.number), sign)
            elif left.weights is not None and right.weights is not None:
                self.fail(sign, "a product of two groups is not linear; multiply by numbers")
            elif left.weights is None:
                left = self.finite(right.scaled(left.number), sign)
            else:
                left = self.finite(left.scaled(right.number), sign)
        return left

    def factor(self) -> _Value:
        token = self.advance()
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(token, f"nested deeper than {_DEEPEST} levels")
        if token.kind in ("+", "-"):
            value = self.factor().scaled(-1.0 if token.kind == "-" else 1.0)
        elif token.kind == "(":
            value = self.sum()
            if self.token.kind == "end":
                self.fail(token, "this parenthesis is not closed")
            if self.token.kind != ")":
                self.fail(self.token, "expected an operator (+ - * /) or ) before this")
            self.advance()
        elif token.kind == "number":
            value = self.finite(_Value(float(token.text), None, token), token)
        elif token.kind == "name":
            if token.text not in self.names:
                self.fail(token, self.unknown(token.text))
            value = _Value(0.0, {token.text: 1.0}, token)
        else:
            self.fail(token, "an operand is missing; expected a group or a number here")
        self.depth -= 1
        return value

    def finite(self, value: _Value, token: _Token) -> _Value:
        """Return the value if its numbers are finite, else raise."""
        if not all(map(math.isfinite, [value.number, *(value.weights or {}).values()])):
            self.fail(token, "a number here is too large; expected finite weights")
        return value

    def advance(self) -> _Token:
        """Move to the next token, and return the current one."""
        token = self.token
        if token.kind != "end":
            self.token = self.next_token()
        return token

    def next_token(self) -> _Token:
        rest = _SPACE.match(self.text, self.place).end()  # pyright: ignore[reportOptionalMemberAccess]
        if rest == len(self.text):
            return _Token("end", "", rest)
        found = _TOKEN.match(self.text, rest)
        if found is None:
            token = _Token("", self.text[rest], rest)
            self.fail(token, "unexpected character; expected groups, numbers and + - * / ( )")
        self.place = found.end()
        kind = str(found.lastgroup)
        text = found[kind]
        return _Token(text if kind == "sign" else kind, text, found.start(kind))

    def unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.names, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        known = f"expected one of {', '.join(self.names)}" if self.names else "none is defined"
        return f"there is no group {name!r:.{_AROUND}}; {known}{hint}"

    def fail(self, token: _Token, reason: str) -> NoReturn:
        end = token.start + len(token.text)
        before, after = self.text[: token.start], self.text[end:]
        quoted = (
            ("..." + before[-_AROUND:] if len(before) > _AROUND else before)
            + f">>{token.text:.{_AROUND}}<<"
            + (after[:_AROUND] + "..." if len(after) > _AROUND else after)
        )
        line = "".join(letter if letter.isprintable() else " " for letter in quoted)
        raise UserError(f'"{line}": column {token.start + 1}: {reason}')


def _scaled(weights: dict[str, float], factor: float) -> dict[str, float]:
    return {name: weight * factor for name, weight in weights.items()}


def _divided(value: _Value, divisor: float) -> _Value:
    # scaled(1 / divisor) would not always give 1 for 3/3, and 1/5e-324 is infinite.
    weights = value.weights
    if weights is not None:
        weights = {name: weight / divisor for name, weight in weights.items()}
    return _Value(value.number / divisor, weights, value.at)
