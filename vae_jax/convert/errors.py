"""Errors about a checkpoint: one line that begins with the path.

The readers and writers of the formats raise errors without a path; whoever knows it adds it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from vae_jax.errors import CheckpointError
from vae_jax.files import explain_errors

PathLike = str | os.PathLike[str]
Context = contextlib.AbstractContextManager[None]


def damaged(what: str, expected: str, found: str) -> CheckpointError:
    """Return the error of a file that contradicts itself."""
    return CheckpointError(
        f"is a damaged {what} ({found:.300}): expected {expected}; fetch or save the file again"
    )


def reading(path: PathLike, advice: str = "save it again") -> Context:
    """Begin every error in the block with a path, and make a CheckpointError of other libraries'.

    The content of a file is anybody's, and so are the errors of it.
    """
    return _about(path, "cannot be read", advice)


def writing(path: PathLike) -> Context:
    """Begin every error in the block with a path, and say that nothing was changed."""
    return _about(path, "cannot be written", "nothing was changed")


@contextlib.contextmanager
def _about(path: PathLike, failure: str, advice: str) -> Iterator[None]:
    try:
        with explain_errors(CheckpointError, failure, advice, Exception):
            yield
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)!s:.500}: {error}") from error
