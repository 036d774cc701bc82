"""The errors a user can cause: each message is one line that says what was found, what was
expected and what to try. The command line prints them without a traceback."""


class UserError(ValueError):
    """Base of every error that bad input, not a bug, raises."""


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
