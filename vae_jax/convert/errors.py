"""Errors about a checkpoint: one line that begins with the path.

The readers and writers of the formats raise errors without a path; whoever knows it adds it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from vae_jax.errors import CheckpointError
from vae_jax.files import Errors, explain_errors

PathLike = str | os.PathLike[str]
Context = contextlib.AbstractContextManager[None]
_EXPECTED = (OSError, ValueError, RuntimeError)  # any other is a bug, and is to be seen


def damaged(what: str, expected: str, found: str) -> CheckpointError:
    """Return the error of a file that contradicts itself."""
    return CheckpointError(
        f"is a damaged {what} ({found:.300}): expected {expected}; fetch or save the file again"
    )


def reading(path: PathLike, advice: str = "save it again", errors: Errors = _EXPECTED) -> Context:
    """Begin every error in the block with a path, and make a CheckpointError of those named."""
    return _about(path, "cannot be read", advice, errors)


def writing(path: PathLike, errors: Errors = _EXPECTED) -> Context:
    """Begin every error in the block with a path, and say that nothing was changed."""
    return _about(path, "cannot be written", "nothing was changed", errors)


@contextlib.contextmanager
def _about(path: PathLike, failure: str, advice: str, errors: Errors) -> Iterator[None]:
    try:
        with explain_errors(CheckpointError, failure, advice, errors):
            yield
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)!s:.500}: {error}") from error
