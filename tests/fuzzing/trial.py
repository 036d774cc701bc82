"""One damaged file, one reader, one verdict.

The contract of every reader: the right kind of value comes back, or a `UserError` with one line.
Never another exception, a warning, a long wait, memory far beyond the file's size, another process,
a connection, or Python's own unpickling.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from vae_jax.errors import MAX_MESSAGE, UserError
from vae_jax.memory import peak_resident, reset_peak

from .readers import Reader

MAX_SECONDS = 2.0
MAX_BYTES = 64 << 20
"""More memory than before, at the worst moment."""

_EVENTS = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile")
_EVENTS += ("os.system", "subprocess.Popen", "socket.connect", "pickle.find_class", "webbrowser")


class Forbidden(BaseException):
    """A file made its reader start a process, open a connection or unpickle a global."""


class Outcome(NamedTuple):
    """What became of a case.

    Attributes:
        accepted: whether a value came back; else it was refused, or there is a fault.
        fault: what broke the contract; None if nothing did.
        message: of the refusal; "" where there is none.
        seconds: of the wall clock or of the processor, whichever is less: others may be busy.
        memory: bytes of the resident set beyond those at the beginning, at most.
    """

    accepted: bool
    fault: str | None
    message: str
    seconds: float
    memory: int


class _Guard:
    """What Python's audit events tell; a hook, once added, stays for the life of the process."""

    def __init__(self):
        self.added = self.watching = False
        self.seen: list[str] = []

    def hook(self, event: str, arguments: tuple) -> None:
        if self.watching and event in _EVENTS:
            self.seen.append(f"{event} {arguments!r:.200}")
            raise Forbidden(event)

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[str]]:
        if not self.added:
            sys.addaudithook(self.hook)
            self.added = True
        self.seen, self.watching = [], True
        try:
            yield self.seen
        finally:
            self.watching = False


_GUARD = _Guard()


def attempt(reader: Reader, case: Mapping[str, bytes], folder: Path) -> Outcome:
    """Has a reader read a case.

    Args:
        reader: whose contract is checked.
        case: file name to bytes.
        folder: an empty one, or of the case before; its contents are replaced.
    """
    write_case(case, folder)
    reset_peak()
    before = peak_resident()
    begin = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(record=True) as leaked, _GUARD.watch() as forbidden:
        warnings.simplefilter("always")
        accepted, fault, message = _read(reader, folder)
    seconds = min(time.perf_counter() - begin[0], time.process_time() - begin[1])
    grown = max(0, peak_resident() - before)
    if forbidden:
        fault = f"did what no file may: {forbidden[0]}"
    elif leaked and not fault:
        fault = f"warned: {leaked[0].category.__name__}: {leaked[0].message!s:.200}"
    elif seconds > MAX_SECONDS and not fault:
        fault = f"took {seconds:.1f} s"
    elif grown > MAX_BYTES and not fault:
        fault = f"took {grown / 1e6:.0f} MB of memory"
    return Outcome(accepted, fault, message, seconds, grown)


def write_case(case: Mapping[str, bytes], folder: Path) -> None:
    """Fills a folder with a case's files, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in case.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _read(reader: Reader, folder: Path) -> tuple[bool, str | None, str]:
    """Whether a value came back, what was wrong with that, and the message of a refusal."""
    try:
        value = reader.read(folder)
    except UserError as error:
        return False, _wrong_message(str(error)), str(error)
    except Forbidden:
        return False, "did what no file may", ""
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return False, f"raised {type(error).__name__} at {where}: {error!s:.200}", ""
    return True, None if reader.is_right(value) else f"returned {type(value).__name__}", ""


def _wrong_message(message: str) -> str | None:
    if not message.strip() or not message.isprintable():
        return f"a message that is not one line: {message!r:.200}"
    if len(message) > MAX_MESSAGE:
        return f"a message of {len(message)} characters: {message:.200}"
    return None
