"""Replace files and folders as a whole, and explain the file system's errors in one line.

Every path is a local one: an address such as ``gs://bucket/run`` would become a folder ``gs:``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vae_jax.errors import UserError

Errors = type[Exception] | tuple[type[Exception], ...]
PARTIAL = ".partial-"
"""The prefix of folders for unfinished files; a killed process leaves one behind."""
# pathlib turns gs://bucket into gs:/bucket; a scheme of one letter is a drive of Windows.
_ADDRESS = re.compile(
    r"\b([a-z][a-z0-9+.-]+)://"
    r"|(?<![^=:,])(gs|s3[an]?|az|hf|hdfs|dbfs|abfss?|wasbs?|https?|ftp|file):/",
    re.I,
)


def require_local(*texts: str | os.PathLike[str]) -> None:
    """Raise UserError if a path, or a text that contains one, is the address of a remote file."""
    for text in map(str, texts):
        found = _ADDRESS.search(text)
        if found is None:
            continue
        scheme, address = (found[1] or found[2]).lower(), text[found.start() :]
        if scheme == "file":
            path = re.sub("^file:/*", "/", address, flags=re.I)
            advice = f"give the path itself, such as {path}"
        elif scheme in ("http", "https", "ftp"):
            advice = "download it first, and give the path of the copy"
        else:
            advice = "mount the bucket as a folder (gcsfuse, s3fs), or copy it, and give that path"
        raise UserError(f"{address} is an address, expected a path on this machine: {advice}")


@contextlib.contextmanager
def explain_errors(
    kind: type[UserError], found: str, advice: str, errors: Errors = OSError
) -> Iterator[None]:
    """Turn other libraries' errors in the block into one line: what failed, why, what to try.

    Args:
        kind: the error to raise instead.
        found: what failed, such as ``"a.pth cannot be read"``.
        advice: what to try.
        errors: the errors to turn; a ``UserError`` passes unchanged.
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
    """Yield a draft path per target, and move all drafts into place if the block succeeds.

    A draft has its target's name in a hidden folder beside it, which is deleted at the end. If the
    block or a move fails, every target is left unchanged. A single target is replaced atomically.
    With several, the old ones are moved away first, the last target before the others: a process
    that is killed meanwhile leaves too few files, but never mixes old and new ones.

    Args:
        *targets: files, or folders that do not exist yet or are empty.
        parents: create the targets' parent folders.

    Yields:
        The drafts, in the order of the targets.

    Raises:
        UserError: a target is an address.
        OSError: a target cannot be written.
    """
    require_local(*targets)
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
    """Write a text file so that a crash leaves either the old or the new one.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as (draft,):
        draft.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def hidden_folder(parent: Path) -> Iterator[Path]:
    """Make a hidden folder for unfinished files, and delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settle(draft: Path, place: Path) -> None:
    """Copy the permissions of the replaced file, and flush the draft to disk before renaming."""
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
