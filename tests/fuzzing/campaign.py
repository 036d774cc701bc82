"""Many damaged files for each reader, in processes of their own.

A process that hangs or dies is a failure of the file that it was reading. Every file at which a
reader fails is saved.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vae_jax.errors import RunError

from .cases import numbered_case, save_case
from .readers import READERS, real_cases
from .seed_checkpoints import read_folder
from .trial import Outcome, attempt

PATIENCE = 60.0
"""Seconds without progress after which a process is ended, once it has read the real files."""
_ROOT = Path(__file__).parents[2]
_ENOUGH_FAULTS = 20  # of one reader: more of them say nothing new


@dataclasses.dataclass
class Tally:
    """What became of a reader's inputs.

    Attributes:
        tried: inputs.
        accepted: how many gave a value.
        refused: how many were refused as they should be.
        faults: saved file to what broke the contract.
        seconds: the longest time for one.
        memory: the most memory for one, in bytes.
    """

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    faults: dict[Path, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    memory: int = 0

    def add(self, outcome: Outcome, saved: Path) -> None:
        """Count an input, which is kept in a file if it is a fault."""
        self.tried += 1
        self.seconds = max(self.seconds, outcome.seconds)
        self.memory = max(self.memory, outcome.memory)
        if outcome.fault is not None:
            self.faults[saved] = outcome.fault
        elif outcome.accepted:
            self.accepted += 1
        else:
            self.refused += 1


def try_reader(name: str, count: int, failures: Path, seed: int = 0) -> Tally:
    """Give a reader damaged files in a process of its own, or more if one ends early.

    Args:
        name: one of ``READERS``.
        count: how many.
        failures: a folder for the files that it fails at.
        seed: of all of them.

    Raises:
        RunError: the process did not come as far as the first file.
    """
    tally = Tally()
    while tally.tried < count and len(tally.faults) < _ENOUGH_FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            order = [name, tally.tried, count, seed, str(failures), folder]
            outcomes, reason = _run_process(order, Path(folder))
            if reason is not None:
                died_at = _saved(failures, name, tally.tried + len(outcomes))
                save_case(read_folder(Path(folder) / "case"), died_at)
                outcomes.append(Outcome(False, reason, "", 0.0, 0))
        for outcome in outcomes:
            tally.add(outcome, _saved(failures, name, tally.tried))
    return tally


def _saved(failures: Path, name: str, number: int) -> Path:
    return failures / f"{name.replace(' ', '_')}-{number}.zip"


def _run_process(order: list, folder: Path) -> tuple[list[Outcome], str | None]:
    """Return what a process found, and why it ended if it ended too soon."""
    found = folder / "outcomes"
    paths = filter(None, (str(_ROOT), str(_ROOT / "tests"), os.environ.get("PYTHONPATH")))
    environment = {"PYTHONPATH": os.pathsep.join(paths), "JAX_PLATFORMS": "cpu"}
    with (folder / "errors").open("w+b") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzzing.campaign", json.dumps(order)],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        reason = wait_for(process, found, PATIENCE)
        if reason is not None:
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
            reason = f"{reason}: {' '.join(last):.200}"
    if not found.exists():  # not even the real files were read
        raise RunError(f"the reader of {order[0]} cannot be tried: its process {reason}")
    # The last line may be cut short.
    lines = [line for line in found.read_text().splitlines(True) if line.endswith("\n")]
    return [Outcome(*json.loads(line)) for line in lines], reason


def wait_for(process: subprocess.Popen, growing: Path, patience: float) -> str | None:
    """Wait while a process writes to a file; return the reason why it did not end well."""
    size, since = -1, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        now = growing.stat().st_size if growing.exists() else -1
        if now != size:
            size, since = now, time.monotonic()
        if growing.exists() and time.monotonic() - since > patience:
            process.kill()
            process.wait()
            return "went no further"
    if process.returncode == 0:
        return None
    return f"ended with status {process.returncode}"


def _work(name: str, start: int, stop: int, seed: int, failures: str, folder: str) -> None:
    """Try inputs in this process, and write one line for each, so that nothing is lost."""
    reader, place, faults = READERS[name], Path(folder) / "case", 0
    for case in real_cases(name):  # what is loaded with the first file is not its memory
        outcome = attempt(reader, case, place)
        assert outcome.accepted, f"a real file is refused: {outcome}"
    with (Path(folder) / "outcomes").open("w") as file:
        for number in range(start, stop):
            case = numbered_case(name, seed, number)
            outcome = attempt(reader, case, place)
            if outcome.fault is not None:
                save_case(case, _saved(Path(failures), name, number))
                faults += 1
            file.write(json.dumps(outcome) + "\n")
            file.flush()
            if faults >= _ENOUGH_FAULTS:
                break


if __name__ == "__main__":
    _work(*json.loads(sys.argv[1]))
