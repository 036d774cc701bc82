"""Groups of training images as a user writes them, a line each.

``men_g = 0, 3, -14`` are images by number, ``men_g = attr:glasses=yes,person=man`` the first of
those with these attributes: the forms of ``vae-jax arithmetic --group``.
"""

from __future__ import annotations

import re

import numpy as np

from vae_jax.data import Dataset, image_number
from vae_jax.errors import UserError
from vae_jax.latents import attribute_columns, is_group_name, select_images

_EXAMPLE_SIZE = 3  # images a group, as in tutorial 002
_EXAMPLES = 3
_WITH_ATTRIBUTES = 16  # of all that have them
_MOST = 64  # images a group: each is encoded when the expression is computed
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
# Listing 7.9, for data that know of faces.
_FACES = {
    "men_g": "attr:glasses=yes,person=man",
    "women_g": "attr:glasses=yes,person=woman",
    "women_ng": "attr:glasses=no,person=woman",
}


def parse_groups(text: str, dataset: Dataset) -> dict[str, list[int]]:
    """The numbers of the training images of each group.

    Args:
        text: ``name = images`` a line; empty lines are left out.
        dataset: whose images they are.

    Raises:
        UserError: a line that is none of these, images that are not there, or a group named
            twice.
    """
    groups: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, equals, images = (part.strip() for part in line.partition("="))
        place = f"line {number} of the groups, {line.strip()[:60]!r}"
        if not equals or not is_group_name(name):
            raise UserError(
                f"{place}: expected a name (letters, digits, underscores), =, and image numbers, "
                "such as men_g = 0, 3, 14"
            )
        if name in groups:
            raise UserError(f"{place}: the group {name} is there already; choose another name")
        try:
            groups[name] = _images(images, dataset)
        except UserError as error:
            raise UserError(f"{place}: {error}") from error
    return groups


def example_groups(dataset: Dataset) -> tuple[str, str]:
    """Groups to begin with, the first images of some classes, and an expression of them.

    Returns:
        The text of the groups, and the expression; both empty where the data set is.
    """
    if {"glasses", "person"} <= dataset.train.attributes.keys():
        lines = [f"{name} = {images}" for name, images in _FACES.items()]
        return "\n".join(lines), "men_g - women_g + women_ng"
    labels = np.asarray(dataset.train.labels)
    present = np.unique(labels).tolist()
    # Of the digits, those whose shapes have most in common.
    chosen = [5, 8, 3] if present == list(range(10)) else present[:_EXAMPLES]
    names, lines = [], []
    for label in chosen:
        title = dataset.class_names[label]
        names.append(title if is_group_name(title) else f"class_{label}")
        images = np.flatnonzero(labels == label)[:_EXAMPLE_SIZE].tolist()
        lines.append(f"{names[-1]} = {', '.join(map(str, images))}")
    if len(names) == 2:
        return "\n".join(lines), f"({names[0]} + {names[1]}) / 2"
    if len(names) == 3:
        return "\n".join(lines), f"{names[0]} + 0.5 * ({names[1]} - {names[2]})"
    return "\n".join(lines), "".join(names)


def _images(text: str, dataset: Dataset) -> list[int]:
    if text.startswith("attr:"):
        conditions = text.removeprefix("attr:")
        found = select_images(attribute_columns(dataset), conditions, dataset.name)
        return found[:_WITH_ATTRIBUTES].tolist()
    parts = [part.strip() for part in text.split(",")]
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise UserError(
            "expected image numbers after the =, such as 0, 3, -5, or attributes, such as "
            "attr:class=1"
        )
    if len(parts) > _MOST:
        raise UserError(f"{len(parts)} images; expected at most {_MOST}")
    return [image_number(dataset, int(part)) for part in parts]
