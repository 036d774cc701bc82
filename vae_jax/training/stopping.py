"""Stopping on request: SIGTERM from a scheduler, SIGINT from a person.

The first signal is recorded, and the training loop saves and ends at its next opportunity. A
second SIGINT ends the process at once. Earlier checkpoints stay intact, because a checkpoint gets
its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator

from vae_jax.errors import RunError

EXIT_STATUS = 75  # EX_TEMPFAIL in sysexits.h: try again
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(RunError):
    """Error that ends a run which was asked to stop and has been saved."""

    exit_status = EXIT_STATUS


@contextlib.contextmanager
def catching_signals() -> Generator[Callable[[], str | None]]:
    """Record SIGTERM and the first SIGINT instead of letting them end the process.

    Yields:
        A function that returns the name of the first signal, or None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Python allows handlers only in the main thread
        return
    came: list[str] = []

    def handle(number: int, frame: object) -> None:
        if came and number == signal.SIGINT:
            for child in multiprocessing.active_children():
                child.kill()
            os.write(2, b"stopped at once; what was saved before stays\n")
            os._exit(128 + signal.SIGINT)
        if not came:
            came.append(signal.Signals(number).name)
            again = ", again to stop at once" if number == signal.SIGINT else ""
            os.write(2, f"{came[0]}: saving, then stopping{again}\n".encode())

    heard = [n for n in _SIGNALS if signal.getsignal(n) != signal.SIG_IGN]  # ignored under nohup
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield lambda: came[0] if came else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
