"""Memory of this process: how much it holds, and keeping what a training step frees.

XLA on CPU asks the system for a step's working memory afresh at every step, and the GNU C library
passes requests beyond 32 MB on to the kernel, which hands out pages of 4 kB one by one, each zeroed
at its first touch: 1.2 microseconds a page where this was measured, 11 ms for a working memory of
38 MB that then takes 7 ms to compute in.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")  # Linux

# Names and numbers from glibc's malloc.h.
_SETTINGS = {
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),  # free memory at the heap's end is kept
    "M_MMAP_MAX": (-4, 0),  # everything comes from the heap
    "M_ARENA_MAX": (-8, 1),  # one heap: any thread's free memory serves the next step
}


def keep_freed_memory() -> bool:
    """Let the process keep the memory that it frees; the command line does so for itself.

    It holds for the whole process, PyTorch and NumPy too, whose memory use then stays at its peak.

    Returns:
        Whether this system has such a setting: Linux with the GNU C library.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    taken = [mallopt(*setting) == 1 for setting in _SETTINGS.values()]
    return all(taken)


def trim() -> None:
    """Give free memory back to the system, where the C library can."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Return the bytes in memory now or, where the system does not report them, the peak."""
    return _status("VmRSS") or peak_resident()


def peak_resident() -> int:
    """Return the most bytes in memory since the process began, or since ``reset_peak``."""
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Restart the peak from what is in memory now; return whether the system can."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


class PeakMeter:
    """The most memory beyond what the process held at the start, lap by lap.

    Attributes:
        resets: whether a lap starts anew; else it includes those before it.
    """

    def __init__(self):
        self.resets = self._restart()
        self._before = resident()

    def lap(self) -> int:
        """Return the bytes of the lap that ends here, and begin the next."""
        found = max(peak_resident() - self._before, 0)
        self._restart()
        return found

    def _restart(self) -> bool:
        trim()
        return reset_peak()


def _status(name: str) -> int | None:
    """Return the bytes under one of Linux's names; None elsewhere."""
    with contextlib.suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None
