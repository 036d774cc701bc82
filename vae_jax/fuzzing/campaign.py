"""Many damaged files for each reader, in processes of their own.

A process that hangs or dies is a failure of the file that it was at: it is known by its number,
from which it can be made again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

from vae_jax.errors import RunError
from vae_jax.fuzzing.cases import make_case
from vae_jax.fuzzing.containers import CONTAINERS
from vae_jax.fuzzing.readers import READERS
from vae_jax.fuzzing.seeds import Case
from vae_jax.fuzzing.trial import attempt

PATIENCE = 60.0
"""Seconds after which a process that goes no further is ended."""
_MOST_FAULTS = 20  # of one reader: more of them say nothing new


@dataclasses.dataclass
class Tally:
    """What became of a reader's inputs.

    Attributes:
        tried: inputs.
        accepted: how many gave a value.
        refused: how many were refused as they should be.
        faults: number of the input to what broke the contract.
        seconds: the longest time for one.
        memory: the most memory for one, in bytes.
    """

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    faults: dict[int, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    memory: int = 0

    def add(self, other: Tally) -> None:
        """Joins what another process found."""
        self.tried, self.accepted = self.tried + other.tried, self.accepted + other.accepted
        self.refused, self.faults = self.refused + other.refused, self.faults | other.faults
        self.seconds = max(self.seconds, other.seconds)
        self.memory = max(self.memory, other.memory)


def numbered_case(name: str, seeds: list[Case], seed: int, number: int) -> Case:
    """The input of a reader that has a number."""
    return make_case(READERS[name], seeds, random.Random(f"{seed} {name} {number}"))


def try_reader(name: str, count: int, seed: int = 0, *, patience: float = PATIENCE) -> Tally:
    """Gives a reader damaged files in a process of its own, or more if one ends early.

    Args:
        name: one of ``READERS``.
        count: how many.
        seed: of all of them.
        patience: seconds after which a process that goes no further is ended.
    """
    tally, start = Tally(), 0
    while start < count and len(tally.faults) < _MOST_FAULTS:
        found, reason = _run_process(name, start, count, seed, patience)
        tally.add(found)
        start += found.tried
        if reason is not None:
            tally.add(Tally(tried=1, faults={start: reason}))
            start += 1
    return tally


def _run_process(
    name: str, start: int, stop: int, seed: int, patience: float
) -> tuple[Tally, str | None]:
    """What a process found, and why it ended if it ended too soon."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        order = json.dumps([name, start, stop, seed, folder])
        root = str(Path(__file__).parents[2])  # where the package is, installed or not
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with (Path(folder) / "errors").open("w+b") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "vae_jax.fuzzing.campaign", order],
                env=os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"},
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            reason = _wait(process, told, patience)
            if reason is not None:
                errors.seek(0)
                last = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                reason = f"{reason}: {' '.join(last):.200}"
        text = told.read_text() if told.exists() else ""
        # The last line may be cut short.
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        if not lines:  # not even the real files were read
            raise RunError(f"the reader of {name} cannot be tried: it {reason}")
        found = Tally(**json.loads(lines[-1]))
        found.faults = {int(number): fault for number, fault in found.faults.items()}
        return found, reason


def _wait(process: subprocess.Popen, told: Path, patience: float) -> str | None:
    """Waits while the process goes on; the reason why it did not end well."""
    size, since = -1, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        now = told.stat().st_size if told.exists() else 0
        if now != size:
            size, since = now, time.monotonic()
        if time.monotonic() - since > patience:
            process.kill()
            process.wait()
            return f"went no further for {patience:.0f} s"
    if process.returncode == 0:
        return None
    return f"ended the process with status {process.returncode}"


def _work(name: str, start: int, stop: int, seed: int, folder: str) -> None:
    """What the process does: one line of the tally an input, so that nothing is lost."""
    reader, tally = READERS[name], Tally()
    seeds = list(reader.seeds())
    place = Path(folder) / "case"
    for case in seeds:  # what is loaded with the first file is not the first file's memory
        outcome = attempt(reader, case, place)
        assert outcome.accepted, f"a real file is refused: {outcome}"
    with (Path(folder) / "told").open("w") as told:
        _tell(told, tally)
        for number in range(start, stop):
            outcome = attempt(reader, numbered_case(name, seeds, seed, number), place)
            tally.tried += 1
            tally.seconds = max(tally.seconds, outcome.seconds)
            tally.memory = max(tally.memory, outcome.memory)
            if outcome.fault is not None:
                tally.faults[number] = outcome.fault
            elif outcome.accepted:
                tally.accepted += 1
            else:
                tally.refused += 1
            _tell(told, tally)
            if len(tally.faults) >= _MOST_FAULTS:
                break


def _tell(told: TextIO, tally: Tally) -> None:
    told.write(json.dumps(dataclasses.asdict(tally)) + "\n")
    told.flush()


def save_case(case: Case, path: Path) -> None:
    """Writes a case as a zip archive of its files."""
    path.write_bytes(CONTAINERS["zip"].pack(case))


def load_case(path: Path) -> Case:
    """Reads what `save_case` wrote."""
    return CONTAINERS["zip"].unpack(path.read_bytes())


if __name__ == "__main__":
    arguments: Any = json.loads(sys.argv[1])
    _work(*arguments)
