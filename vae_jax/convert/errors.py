"""Errors about a checkpoint: one line that begins with the path.

The readers and writers of the formats raise errors without a path; the caller that knows the path
adds it with ``reading`` or ``writing``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator

from vae_jax.errors import CheckpointError
from vae_jax.files import Errors, explain_errors

PathLike = str | os.PathLike[str]
Context = contextlib.AbstractContextManager[None]
_EXPECTED = (OSError, ValueError, RuntimeError)  # anything else is a bug, so it keeps its traceback


def damaged(what: str, expected: str, found: str) -> CheckpointError:
    """Return the error for a file that contradicts itself."""
    return CheckpointError(
        f"is a damaged {what} ({found:.300}): expected {expected}; fetch or save the file again"
    )


def reading(path: PathLike, advice: str = "save it again", errors: Errors = _EXPECTED) -> Context:
    """Turn the named errors in the block into a CheckpointError that begins with the path."""
    return _about(path, "cannot be read", advice, errors)


def writing(path: PathLike, errors: Errors = _EXPECTED) -> Context:
    """Turn errors in the block into a CheckpointError that says that nothing was changed."""
    return _about(path, "cannot be written", "nothing was changed", errors)


@contextlib.contextmanager
def _about(path: PathLike, failure: str, advice: str, errors: Errors) -> Generator[None]:
    try:
        with explain_errors(CheckpointError, failure, advice, errors):
            yield
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)!s:.500}: {error}") from error
