"""Errors that a user can cause.

Each message is one line that says what was found, what was expected and what to try. The command
line prints it without a traceback.
"""

import difflib
from collections.abc import Iterable

MAX_MESSAGE = 1500
"""The maximum length of a message, in characters."""
_END = 400  # characters kept of the end of a long message, which says what to try


def one_line(message: str) -> str:
    """Escape what would break a line or a terminal, and cut the middle of a long message.

    >>> one_line("found 'a\\n\\x1b[2J'")
    "found 'a\\\\n\\\\x1b[2J'"
    """
    if len(message) > 2 * MAX_MESSAGE:
        message = message[:MAX_MESSAGE] + message[-MAX_MESSAGE:]
    line = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in message
    )
    if len(line) <= MAX_MESSAGE:
        return line
    return f"{line[: MAX_MESSAGE - _END - 5]} ... {line[-_END:]}"


class UserError(ValueError):
    """Base class of errors in a user's input.

    A message may quote untrusted input; it still becomes one line.
    """

    def __init__(self, message: str = ""):
        super().__init__(one_line(message))


class CheckpointError(UserError):
    """A checkpoint that is unreadable, hostile, incomplete or of another model."""


class DataError(UserError):
    """A data source that is missing, not prepared or not made of images."""


class RunError(UserError):
    """A run folder that cannot be used as asked."""


class MissingExtraError(UserError, ImportError):
    """A missing optional dependency; the message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs {package}, which is not installed: pip install 'vae-jax[{extra}]'"
        )
        self._given = package, extra, purpose

    def __reduce__(self):
        """Support pickling, to send the error to another process."""
        return type(self), self._given


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that ends an error about an unknown name: the nearest name, or all of them."""
    folded = {each.lower().replace("_", ""): each for each in known}
    wanted = name.lower().replace("-", "").replace("_", "")
    nearest = difflib.get_close_matches(wanted, folded, n=1)
    if nearest:
        return f"did you mean {folded[nearest[0]]}?"
    return f"expected one of {', '.join(folded.values())}"
