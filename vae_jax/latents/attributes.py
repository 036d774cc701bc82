"""Choose images by their attributes: ``glasses=yes,lightness=0.7..1``.

A column is text [N], or float64 [N] with NaN for missing values.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np

from vae_jax.data import Dataset
from vae_jax.errors import UserError
from vae_jax.typing import Int

_LISTED = 12  # most values that a message lists


def attribute_columns(dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the attributes of a data set's training images, with the class names as "class"."""
    names = np.array(dataset.class_names)
    return {**dataset.train.attributes, "class": names[dataset.train.labels]}


def attribute_column(columns: Mapping[str, np.ndarray], attribute: str, source: str) -> np.ndarray:
    """Return the column of an attribute, [N].

    Args:
        columns: names to values.
        attribute: the attribute's name.
        source: the data's name, for error messages.

    Raises:
        UserError: the data have no such attribute.
    """
    if attribute in columns:
        return columns[attribute]
    if set(columns) <= {"class"}:
        raise UserError(
            f"{source} has no attribute {attribute!r}, only class; expected attr:class=... or "
            "--colour-by class, or data with attributes (faces, or folder:DIR with "
            "DIR/attributes.csv); images can also be given by number (0,3,14)"
        )
    near = difflib.get_close_matches(attribute, columns, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UserError(
        f"{source} has no attribute {attribute!r}; expected one of {', '.join(columns)}{hint}"
    )


def select_images(
    columns: Mapping[str, np.ndarray], conditions: str, source: str
) -> Int[np.ndarray, " M"]:
    """Return the numbers of the images that meet every condition, in ascending order.

    A condition is ``column=value``, or for numbers ``column=low..high``, where both ends are
    included and either may be left out. Images with missing values meet no range.

    >>> columns = {"glasses": np.array(["yes", "no", "yes"]), "light": np.array([0.2, 0.9, 0.8])}
    >>> select_images(columns, "glasses=yes,light=0.7..1", "faces").tolist()
    [2]

    Args:
        columns: names to values [N], at least one column.
        conditions: the conditions, separated by commas.
        source: the data's name, for error messages.

    Raises:
        UserError: a condition is malformed, a column does not exist, or no image meets them all.
    """
    meeting = np.ones(len(next(iter(columns.values()))), bool)
    for condition in conditions.split(","):
        name, equals, wanted = (part.strip() for part in condition.partition("="))
        if not equals or not name or not wanted:
            raise UserError(
                f"attr:{conditions}: {condition!r} is not a condition; expected COLUMN=VALUE, or "
                "COLUMN=LOW..HIGH for numbers"
            )
        column = attribute_column(columns, name, source)
        if column.dtype.kind == "f":
            low, high = _range(conditions, name, wanted)
            found = (column >= low) & (column <= high)
        else:
            found = column == wanted
        if not found.any():
            raise UserError(
                f"attr:{conditions}: no image of {source} has {name}={wanted}; {_present(column)}"
            )
        meeting &= found
    if not meeting.any():
        raise UserError(
            f"attr:{conditions}: no image of {source} meets all conditions; leave out one"
        )
    return np.flatnonzero(meeting)


def _range(conditions: str, name: str, text: str) -> tuple[float, float]:
    low, dots, high = text.partition("..")
    try:
        bounds = float(low or "-inf"), float((high or "inf") if dots else low)
    except ValueError:
        bounds = np.nan, np.nan
    if not bounds[0] <= bounds[1]:
        raise UserError(
            f"attr:{conditions}: {name} holds numbers, found {text!r}; expected a number such as "
            "0.5, or a range, lower end first, such as 0.7..1"
        )
    return bounds


def _present(column: np.ndarray) -> str:
    if column.dtype.kind == "f":
        known = column[np.isfinite(column)]
        return f"it goes from {known.min():g} to {known.max():g}" if len(known) else "it has none"
    values = np.unique(column).tolist()
    more = f", ... ({len(values)} in all)" if len(values) > _LISTED else ""
    return f"expected one of {', '.join(map(repr, values[:_LISTED]))}{more}"
