"""Files and folders replaced whole or not at all, and the file system's errors in one line."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vae_jax.errors import UserError

Errors = type[Exception] | tuple[type[Exception], ...]
PARTIAL = ".partial-"
"""How the name of a folder begins that holds unfinished files; one is left where a process is
killed."""


@contextlib.contextmanager
def explain_errors(
    kind: type[UserError], found: str, advice: str, errors: Errors = OSError
) -> Iterator[None]:
    """Turn other libraries' errors in the block into one line: what failed, why, what to try.

    Args:
        kind: the error to raise in their place.
        found: what failed, such as ``"a.pth cannot be read"``.
        advice: what to try.
        errors: what to turn; a ``UserError`` passes as it is.
    """
    try:
        yield
    except UserError:
        raise
    except errors as error:
        reason = error.strerror if isinstance(error, OSError) else None
        reason = reason or f"{type(error).__name__}: {error!s:.300}"
        raise kind(f"{found} ({reason}): {advice}") from error


@contextlib.contextmanager
def replacing(*targets: str | os.PathLike[str], parents: bool = False) -> Iterator[list[Path]]:
    """Give the block a path to write for each target, and move all into place when it ends well.

    Such a draft has its target's name, in a hidden folder beside it that goes in the end. Where the
    block fails, or a move, every target is left as it was. A single target is replaced in one step.
    Of several, the old ones are moved away first, the last target before the others: a process
    that is killed in between leaves too few files, never old ones among new.

    Args:
        *targets: files, or folders that are not there yet or are empty.
        parents: make the folders that they lie in.

    Yields:
        The drafts, in the order of the targets.

    Raises:
        OSError: a place cannot be written.
    """
    places = [Path(os.path.abspath(target)) for target in targets]
    with contextlib.ExitStack() as stack:
        hidden: dict[Path, Path] = {}
        for folder in dict.fromkeys(place.parent for place in places):
            if parents:
                folder.mkdir(parents=True, exist_ok=True)
            hidden[folder] = stack.enter_context(hidden_folder(folder))
            (hidden[folder] / "new").mkdir()
            (hidden[folder] / "old").mkdir()
        drafts = [hidden[place.parent] / "new" / place.name for place in places]
        yield drafts
        for draft, place in zip(drafts, places, strict=True):
            if draft.is_file():
                _settle(draft, place)
        if len(places) == 1:
            os.replace(drafts[0], places[0])
        else:
            old = [hidden[place.parent] / "old" / place.name for place in places]
            _move_all(drafts, places, old)


def write_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file so that a crash leaves the old one or the new one.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as (draft,):
        draft.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """Make a hidden folder for unfinished files in another; what is left of it goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settle(draft: Path, place: Path) -> None:
    """Give a file the rights of the one it replaces, and bring it to the disk before its name."""
    if place.exists():
        os.chmod(draft, place.stat().st_mode & 0o777)
    with open(draft, "rb") as file:
        os.fsync(file.fileno())


def _move_all(drafts: list[Path], places: list[Path], old: list[Path]) -> None:
    try:
        for place, kept in reversed(list(zip(places, old, strict=True))):
            if place.exists():
                os.replace(place, kept)
        for draft, place in zip(drafts, places, strict=True):
            os.replace(draft, place)
    except BaseException:
        for draft, place, kept in zip(drafts, places, old, strict=True):
            if kept.exists():
                os.replace(kept, place)
            elif not draft.exists():
                place.unlink()
        raise
