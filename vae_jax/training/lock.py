"""One process trains in a run's folder at a time."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator
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
def only_one(path: Path) -> Iterator[Callable[[], None]]:
    """Holds a run's folder, which must exist, for this process alone; the system lets it go
    whenever the process ends, however it does.

    Yields:
        A function that writes down who has it, for others to read.

    Raises:
        RunError: another process has it.
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
