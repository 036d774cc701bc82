"""Say in one phrase what was made of a folder's pictures, and what was left out."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Collection, Sequence

from vae_jax.data.attributes import ATTRIBUTES_FILE
from vae_jax.data.colours import is_deep
from vae_jax.data.dataset import describe_shape
from vae_jax.data.picture import covering_size, opened_picture, opened_regular

MOST_OPENED = 500  # pictures whose headers are read: a tenth of a second
_OTHER_PICTURES = (".gif", ".heic", ".heif", ".avif", ".jfif", ".jp2", ".svg", ".psd", ".ico")


def describe_pictures(
    folder: pathlib.Path,
    names: Sequence[str],
    image_shape: tuple[int, int, int],
    unreadable: int,
    extensions: Collection[str],
) -> str:
    """Describe a folder's data set, such as "61 of 64 pictures, 3 GIFs left out; resized".

    Args:
        folder: the folder.
        names: the paths in it of the pictures that are read.
        image_shape: what they become.
        unreadable: how many more were left out because they cannot be read.
        extensions: those that pictures have; files of others were left out.
    """
    kinds = _left_out(folder, extensions)
    left = [f"{count} {kind[1:].upper()}{'s' * (count > 1)}" for kind, count in kinds.items()]
    left += [f"{unreadable} unreadable"] if unreadable else []
    total = len(names) + unreadable + sum(kinds.values())
    counted = f"{len(names)} of {total} pictures, {', '.join(left)} left out"
    counted = counted if left else f"{total} picture{'s' * (total > 1)}"
    changes = _changes(folder, names[:MOST_OPENED], image_shape)
    of = f" (by the first {MOST_OPENED})" if len(names) > MOST_OPENED else ""
    return f"{counted}; {', '.join(changes)}{of}" if changes else counted


def _left_out(folder: pathlib.Path, extensions: Collection[str]) -> dict[str, int]:
    """Count the files that look like pictures but are not read, by their extension."""
    kinds: collections.Counter[str] = collections.Counter()
    for _, _, files in os.walk(folder):
        found = (os.path.splitext(name)[1].lower() for name in files if name != ATTRIBUTES_FILE)
        kinds.update(end for end in found if end in _OTHER_PICTURES and end not in extensions)
    return dict(kinds.most_common())


def _changes(
    folder: pathlib.Path, names: Sequence[str], image_shape: tuple[int, int, int]
) -> list[str]:
    height, width, channels = image_shape
    counts: collections.Counter[str] = collections.Counter()
    for name in names:
        try:
            with opened_regular(folder / name) as file, opened_picture(file) as picture:
                mode, size = picture.mode, (picture.height, picture.width)
                counts["transparency on white"] += picture.has_transparency_data
        except Exception:  # decoding says what is wrong with it
            continue
        colour = mode not in ("1", "L", "LA") and not is_deep(mode)
        counts["colour to grey"] += channels == 1 and colour
        counts["grey to colour"] += channels == 3 and not colour
        counts["16 bits to 8"] += is_deep(mode)
        covering = covering_size(size, (height, width))
        counts[f"resized to {describe_shape((height, width))}"] += covering != size
        counts["cropped"] += covering != (height, width)
    shown = []
    for what, count in counts.items():
        if count:
            shown.append(what if count == len(names) else f"{count} {what}")
    return shown
