"""Groups of training images in the explorer, one per line."""

from __future__ import annotations

import numpy as np

from vae_jax.data import Dataset
from vae_jax.errors import UserError
from vae_jax.latents import is_group_name
from vae_jax.latents.groups import parse_group

_EXAMPLE_SIZE = 3  # images per group, as in tutorial 002
_EXAMPLES = 3
# Listing 7.9, for data with these attributes.
_FACES = {
    "men_g": "attr:glasses=yes,person=man",
    "women_g": "attr:glasses=yes,person=woman",
    "women_ng": "attr:glasses=no,person=woman",
}


def parse_lines(text: str) -> dict[str, str]:
    """Split ``name = images`` lines into names and images, skipping empty lines.

    Raises:
        UserError: a line has another form, or defines a group again.
    """
    groups: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            name, images = parse_group(line, groups)
        except UserError as error:
            place = f"line {number} of the groups, {line.strip()[:60]!r}"
            raise UserError(f"{place}: {error}") from error
        groups[name] = images
    return groups


def example_groups(dataset: Dataset) -> tuple[str, str]:
    """Return example groups, such as the first images of some classes, and an expression.

    Returns:
        The text of the groups and the expression; both are empty for an empty data set.
    """
    if {"glasses", "person"} <= dataset.train.attributes.keys():
        lines = [f"{name} = {images}" for name, images in _FACES.items()]
        return "\n".join(lines), "men_g - women_g + women_ng"
    labels = np.asarray(dataset.train.labels)
    present = np.unique(labels).tolist()
    # For digits, choose those with the most similar shapes.
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
