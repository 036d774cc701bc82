"""Groups of images that a user names, and their encodings, for the commands of the workbench.

``NAME=0,3,-5`` are training images by number, ``NAME=a.png,more/`` files and folders,
``NAME=attr:glasses=yes`` the training images with these attributes. Where a command expects a
group, the same can be written without ``NAME=``.
"""

from __future__ import annotations

import difflib
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.cli import drawing
from vae_jax.cli.encodings import training_data
from vae_jax.cli.trained import Trained
from vae_jax.data import Dataset, image_number, open_picture
from vae_jax.data.folder import EXTENSIONS
from vae_jax.data.pixels import scale_pixels
from vae_jax.errors import UserError
from vae_jax.latents import (
    attribute_columns,
    group_encoding,
    is_group_name,
    latent_points,
    select_images,
)
from vae_jax.typing import AnyArray

_NUMBERS = re.compile(r"[+-]?[0-9]{1,12}(\s*,\s*[+-]?[0-9]{1,12})*")
FORMS = (
    "image numbers (0,3,-5), picture files or folders (a.png,more/) or attributes "
    "(attr:glasses=yes)"
)


class Members(NamedTuple):
    """The images of a group.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int [N]; None where they are not known.
        found: how many images there were to choose from.
    """

    images: np.ndarray
    labels: Any
    found: int


def parse_definitions(definitions: tuple[str, ...]) -> dict[str, str]:
    """Name to images of ``NAME=IMAGES`` texts.

    Raises:
        UserError: one has another form, a name that no expression could hold, or a name twice.
    """
    groups: dict[str, str] = {}
    for definition in definitions:
        name, equals, images = (part.strip() for part in definition.partition("="))
        if not equals or not images:
            raise UserError(f"--group {definition!r}: expected NAME=IMAGES, with {FORMS}")
        if not is_group_name(name):
            raise UserError(
                f"--group {definition!r}: {name!r} cannot name a group; expected letters, digits "
                "and underscores, no digit first"
            )
        if name in groups:
            raise UserError(f"--group {definition!r}: there is a group {name!r} already")
        groups[name] = images
    return groups


class Groups:
    """The groups of one command, encoded when they are asked for.

    A group's draws depend on the seed and on what it is made of, not on its name or on the other
    groups.

    Attributes:
        loaded: the model.
        names: of the groups defined.
        members: what was encoded so far, by name or text.
    """

    def __init__(
        self,
        loaded: Trained,
        definitions: tuple[str, ...],
        data: str | None,
        per_group: int,
        seed: int | None,
        label: int | None = None,
    ):
        """Reads the definitions; nothing is opened yet.

        Args:
            loaded: the model.
            definitions: ``NAME=IMAGES``.
            data: the data source; None for the model's own.
            per_group: images to take of those with some attributes.
            seed: of the draws; None encodes by the posterior's mean.
            label: class to decode with, and of pictures from files.

        Raises:
            UserError: a definition is wrong, or the label is one that the model does not take.
        """
        if label is not None and not loaded.spec.num_classes:
            raise UserError(f"{loaded.name} takes no label; leave out --label")
        if label is None and loaded.spec.num_classes:
            raise UserError(
                f"{loaded.name} decodes with a label; give --label 0 to "
                f"{loaded.spec.num_classes - 1}"
            )
        drawing.one_hot(loaded, [label])
        self.loaded = loaded
        self.members: dict[str, Members] = {}
        self._definitions = parse_definitions(definitions)
        self._source, self._per_group, self._seed, self._label = data, per_group, seed, label
        self._data: Dataset | None = None
        self._encoded: dict[str, Any] = {}

    @property
    def names(self) -> list[str]:
        """Of the groups that the user defined."""
        return list(self._definitions)

    def points(self, group: str) -> np.ndarray:
        """A point for each image of a group, [N, L]."""
        return np.asarray(latent_points(*self._encode(group)))

    def encoding(self, group: str) -> np.ndarray:
        """The point that stands for a group, [L]."""
        return np.asarray(group_encoding(*self._encode(group)))

    def decode(self, z: AnyArray) -> np.ndarray:
        """Images in [0, 1] of points [N, L].

        Raises:
            UserError: they are not finite.
        """
        labels = None if self._label is None else np.full(len(z), self._label)
        pictures = drawing.decode(self.loaded, np.asarray(z, np.float32), labels)
        drawing.require_finite(self.loaded, pictures)
        return pictures

    def summary(self) -> dict[str, Any]:
        """How many images each group has, and of how many, for --json."""
        return {
            name: {"images": len(group.images), "of": group.found}
            for name, group in self.members.items()
        }

    def __str__(self) -> str:
        """The groups encoded, and how, in a line."""
        counts = [
            f"{name}: {len(group.images)} of {group.found} images"
            if len(group.images) < group.found
            else f"{name}: {group.found}"
            for name, group in self.members.items()
        ]
        how = "posterior means" if self._seed is None else f"seed {self._seed}"
        return f"{', '.join(counts)}; {how if self.loaded.spec.variational else 'latents'}"

    def _encode(self, group: str) -> tuple[Any, Any]:
        """What ``encode`` returned for a group, and the key of its draws."""
        text = self._definitions.get(group, group)
        if group not in self._encoded:
            members = self.members[group] = self._read(group, text)
            x = scale_pixels(members.images, self.loaded.spec.pixel_range)
            self._encoded[group] = drawing.encode(self.loaded, x, members.labels)
        if self._seed is None:
            return self._encoded[group], None
        key = jax.random.fold_in(jax.random.key(self._seed), zlib.crc32(text.encode()))
        return self._encoded[group], key

    def _read(self, group: str, text: str) -> Members:
        if _NUMBERS.fullmatch(text):
            dataset = self._dataset()
            try:
                numbers = [image_number(dataset, int(number)) for number in text.split(",")]
            except UserError as error:
                raise UserError(f"group {group}: {error}") from error
            return _chosen(dataset, np.array(numbers), len(numbers))
        if text.startswith("attr:"):
            dataset = self._dataset()
            columns = attribute_columns(dataset)
            numbers = select_images(columns, text.removeprefix("attr:"), dataset.name)
            return _chosen(dataset, numbers[: self._per_group], len(numbers))
        paths = [path for part in _split(text) for path in self._pictures(group, part)]
        shape = self.loaded.model.image_shape
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
        raise UserError(f"group {group}: there is no {text!r}; expected {known}{FORMS}{hint}")

    def _dataset(self) -> Dataset:
        if self._data is None:
            self._data = training_data(self.loaded, self._source)
        return self._data


def _chosen(dataset: Dataset, numbers: np.ndarray, found: int) -> Members:
    return Members(dataset.train.images[numbers], dataset.train.labels[numbers], found)


def _split(text: str) -> list[str]:
    """Paths, separated by commas; a file whose own name has one is taken whole."""
    return [text] if Path(text).exists() else [part.strip() for part in text.split(",")]
