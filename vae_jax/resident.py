"""How much memory this process has and had, as its system tells."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_PROCESS = Path("/proc/self")  # Linux


def resident() -> int:
    """Bytes in memory now; where the system does not tell, the most so far."""
    return _status("VmRSS") or largest_resident()


def largest_resident() -> int:
    """The most bytes in memory since the process began, or since `forget_largest`."""
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_largest() -> bool:
    """Lets the most start again from what there is now; whether the system can."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(name: str) -> int | None:
    """Bytes by one of Linux's names; None elsewhere."""
    with contextlib.suppress(OSError):
        for line in (_PROCESS / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None
