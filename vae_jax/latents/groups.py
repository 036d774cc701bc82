"""Groups of images and their encodings, for the command line and the explorer.

``0,3,-5`` are training images by number (negative: from the end), ``a.png,more/`` picture files
and folders, ``attr:glasses=yes`` the training images with these attributes. ``men_g = 0,3,14``
defines a group by name.

Source: tutorial 002, listing 7.7 (groups by number), whose encodings are means of draws.
"""

from __future__ import annotations

import difflib
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.data import Dataset, image_number, open_picture
from vae_jax.data.folder import EXTENSIONS
from vae_jax.errors import UserError
from vae_jax.latents.arithmetic import group_encoding, latent_points
from vae_jax.latents.attributes import attribute_columns, select_images
from vae_jax.latents.expressions import is_group_name
from vae_jax.pretrained import Pretrained

PER_GROUP = 64
"""Most images to take of those that match attributes."""
SEED = 0
"""Seed of the draws."""

_NUMBERS = re.compile(r"[+-]?[0-9]{1,12}(\s*,\s*[+-]?[0-9]{1,12})*")
_NUMBERS_OR_ATTRIBUTES = "image numbers (0,3,-5) or attributes (attr:glasses=yes)"
_ANY = (
    "image numbers (0,3,-5), picture files or folders (a.png,more/) or attributes "
    "(attr:glasses=yes)"
)


class Members(NamedTuple):
    """The images of a group.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int [N]; None if unknown.
        found: how many images matched.
    """

    images: np.ndarray
    labels: np.ndarray | None
    found: int


def parse_group(text: str, groups: Mapping[str, str]) -> tuple[str, str]:
    """Split ``NAME=IMAGES`` into its name and images.

    Args:
        text: the definition.
        groups: the groups defined before it.

    Raises:
        UserError: it has another form, or a name that is invalid or one of ``groups``.
    """
    name, equals, images = (part.strip() for part in text.partition("="))
    if not equals or not images:
        raise UserError(f"expected NAME=IMAGES, with {_ANY}")
    if not is_group_name(name):
        raise UserError(
            f"{name!r} cannot name a group; expected letters, digits and underscores, no digit "
            "first"
        )
    if name in groups:
        raise UserError(f"the group {name!r} is already defined; choose another name")
    return name, images


class Groups:
    """Named groups of images, encoded when they are needed.

    A group's encoding is the mean of one posterior draw per image, or of posterior means. The draws
    depend only on the seed and on the text of the group's images, not on its name or other groups.

    Attributes:
        pretrained: the model.
        members: the images of the groups opened so far, by name or text.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        definitions: Mapping[str, str],
        open_data: Callable[[], Dataset],
        *,
        per_group: int = PER_GROUP,
        seed: int | None = SEED,
        label: int | None = None,
        allow_files: bool = True,
    ):
        """Store the definitions; nothing is opened yet.

        Args:
            pretrained: the model.
            definitions: names to images.
            open_data: opens the training images when a group first needs them.
            per_group: how many images to take of those that match attributes.
            seed: seed of the draws; None encodes by posterior means.
            label: class of pictures from files, for a model that takes labels.
            allow_files: whether a group may name picture files.
        """
        self.pretrained = pretrained
        self.members: dict[str, Members] = {}
        self._definitions, self._open_data = dict(definitions), open_data
        self._per_group, self._seed, self._label = per_group, seed, label
        self._forms = _ANY if allow_files else _NUMBERS_OR_ATTRIBUTES
        self._allow_files = allow_files
        self._data: Dataset | None = None
        self._encoded: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        """The names of the defined groups."""
        return list(self._definitions)

    def images(self, group: str) -> Members:
        """Return the images of a group, given by its name or by the text of its images.

        Raises:
            UserError: the group is neither a name nor existing images.
        """
        if group not in self.members:
            self.members[group] = self._read(group, self._definitions.get(group, group))
        return self.members[group]

    def points(self, group: str) -> np.ndarray:
        """Return a point per image of a group, [N, L]; raise errors as ``images`` does."""
        return np.asarray(latent_points(*self._encode(group)))

    def encoding(self, group: str) -> np.ndarray:
        """Return the encoding of a group, [L]; raise errors as ``images`` does."""
        return np.asarray(group_encoding(*self._encode(group)))

    def summary(self) -> dict[str, dict[str, int]]:
        """Return how many images each opened group has, and how many matched, for ``--json``."""
        return {
            name: {"images": len(group.images), "of": group.found}
            for name, group in self.members.items()
        }

    def __str__(self) -> str:
        """Describe the opened groups and their encoding in one line."""
        counts = [
            f"{name}: {len(group.images)} of {group.found} images"
            if len(group.images) < group.found
            else f"{name}: {group.found}"
            for name, group in self.members.items()
        ]
        how = "posterior means" if self._seed is None else f"seed {self._seed}"
        return f"{', '.join(counts)}; {how if self.pretrained.spec.variational else 'latents'}"

    def _encode(self, group: str) -> tuple[Any, jax.Array | None]:
        """Return what ``encode`` returned for a group, and the key of its draws."""
        if group not in self._encoded:
            members = self.images(group)
            labels = self.pretrained.label_if_taken(members.labels)
            self._encoded[group] = self.pretrained.encode(members.images, labels)
        if self._seed is None:
            return self._encoded[group], None
        text = self._definitions.get(group, group)
        key = jax.random.fold_in(jax.random.key(self._seed), zlib.crc32(text.encode()))
        return self._encoded[group], key

    def _read(self, group: str, text: str) -> Members:
        if _NUMBERS.fullmatch(text):
            dataset = self._dataset()
            try:
                numbers = [image_number(dataset, int(number.strip())) for number in text.split(",")]
            except UserError as error:
                raise UserError(f"group {group}: {error}") from error
            return _chosen(dataset, np.array(numbers), len(numbers))
        if text.startswith("attr:"):
            dataset = self._dataset()
            columns = attribute_columns(dataset)
            numbers = select_images(columns, text.removeprefix("attr:"), dataset.name)
            return _chosen(dataset, numbers[: self._per_group], len(numbers))
        if not self._allow_files:
            raise UserError(f"group {group}: {text[:60]!r}; expected {self._forms}")
        paths = [path for part in _split(text) for path in self._pictures(group, part)]
        shape = self.pretrained.image_shape
        images = np.stack([open_picture(f"group {group}", path, shape) for path in paths])
        labels = None if self._label is None else np.full(len(images), self._label)
        return Members(images, labels, len(images))

    def _pictures(self, group: str, text: str) -> list[Path]:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.lower().endswith(EXTENSIONS))
            if not inside:
                raise UserError(
                    f"group {group}: the folder {text} holds no pictures ({' '.join(EXTENSIONS)})"
                )
            return inside
        if path.is_file():
            return [path]
        names = self.names
        near = difflib.get_close_matches(text, names, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        known = f"one of {', '.join(names)}, or " if names and is_group_name(text) else ""
        raise UserError(f"group {group}: there is no {text!r}; expected {known}{self._forms}{hint}")

    def _dataset(self) -> Dataset:
        if self._data is None:
            self._data = self._open_data()
        return self._data


def _chosen(dataset: Dataset, numbers: np.ndarray, found: int) -> Members:
    return Members(dataset.train.images[numbers], dataset.train.labels[numbers], found)


def _split(text: str) -> list[str]:
    """Split paths at commas, unless the whole text names a file."""
    return [text] if Path(text).exists() else [part.strip() for part in text.split(",")]
