"""The lock that lets only one process at a time train in a run's folder."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from vae_jax.errors import RunError
from vae_jax.files import explain_errors
from vae_jax.training.run import unwritable

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def only_one(path: Path) -> Generator[Callable[[], None]]:
    """Lock a run's existing folder for this process.

    The system releases the lock when the process ends, however it ends.

    Yields:
        A function that records this process as the owner, for the error that others get.

    Raises:
        RunError: another process holds the lock.
    """
    if fcntl is None:
        yield lambda: None
        return
    with explain_errors(RunError, *unwritable(path)):
        file = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(file, 200).decode(errors="replace").strip() or "another process"
            raise RunError(
                f"{path} is being trained by {owner}; wait for it, stop it, or choose another --out"
            ) from None

        def sign() -> None:
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {platform.node()}".encode(), 0)

        yield sign
    finally:
        os.close(file)
