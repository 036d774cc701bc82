"""The errors a user can cause: each message is one line that says what was found, what was
expected and what to try. The command line prints them without a traceback."""

MAX_MESSAGE = 1500
"""Characters of a message at most."""
_END = 400  # of them, kept of the end of one that is too long: what to try stands there


def one_line(message: str) -> str:
    """A message without what would break a line or a terminal, shortened in its middle.

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
    """Base of every error that bad input, not a bug, raises.

    A message quotes what was found, and that is anybody's: whatever it is, it stays one line.
    """

    def __init__(self, message: str = ""):
        super().__init__(one_line(message))


class CheckpointError(UserError):
    """A checkpoint is unreadable, hostile, incomplete or of another model."""


class DataError(UserError):
    """A data source is missing, unprepared or holds something that is not an image."""


class RunError(UserError):
    """A run folder cannot be used as asked."""


class MissingExtraError(UserError, ImportError):
    """An optional dependency is needed; the message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs {package}, which is not installed: pip install 'vae-jax[{extra}]'"
        )
        self._given = package, extra, purpose

    def __reduce__(self):
        """For a process that hands it to another."""
        return type(self), self._given
