"""What one run of the benchmark has found so far; every measurement prints its lines at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contest.contestants import load_backends, names_of
from contest.measure import measure
from contest.memory import peak_memory
from contest.report import ContestRow, Report
from contest.tables import header, lines_of, memory_line, write_report
from vae_jax.benchmark.roofline import Ceilings
from vae_jax.benchmark.runs import ceilings_in
from vae_jax.benchmark.tasks import Task
from vae_jax.benchmark.timing import TURN


class Session:
    """Measurements, kept for the report.

    Attributes:
        groups: of contestants, which take part where a task names no others.
        rounds: turns of each; None for 15, of epochs 5.
        turn: seconds a turn at least.
        rows: the times that were measured.
        curves: axis -> rows along it.
        memory: the peaks that were measured.
    """

    def __init__(self, groups: Sequence[str], rounds: int | None = None, turn: float = TURN):
        self.groups, self.rounds, self.turn = tuple(groups), rounds, turn
        self.rows: list[ContestRow] = []
        self.curves: dict[str, list[ContestRow]] = {}
        self.memory: list[dict[str, Any]] = []
        self._ceilings: dict[str, Ceilings] = {}

    def leave_out_missing(self, tasks: Sequence[Task], required: Sequence[str] = ()) -> None:
        """Drop the groups whose framework is not installed, and say so.

        Raises:
            MissingExtraError: one of the required groups is among them.
        """
        missing = load_backends(tasks, self.groups)
        for group in required:
            if group in missing:
                raise missing[group]
        for error in dict.fromkeys(str(missing[g]) for g in self.groups if g in missing):
            print(f"left out: {error}")
        self.groups = tuple(group for group in self.groups if group not in missing)

    def time(
        self, task: Task, groups: Sequence[str] | None = None, rounds: int | None = None
    ) -> list[ContestRow]:
        """Return the rows of a task, which are not kept yet."""
        if task.precision not in self._ceilings:
            found = self._ceilings[task.precision] = ceilings_in(task.precision)
            print(f"{task.precision}: {found}\n{header()}")
        rows = measure(
            task,
            self.groups if groups is None else groups,
            rounds=rounds or self.rounds or (5 if task.work == "epoch" else 15),
            turn=self.turn,
            ceilings=self._ceilings[task.precision],
        )
        print(lines_of(rows), flush=True)
        return rows

    def remember(self, task: Task, groups: Sequence[str]) -> None:
        """Measure and keep the peak memory of a task, a process a contestant."""
        for name in names_of(task, groups):
            self.memory.append(peak_memory(task, name))
            print(memory_line(self.memory[-1]), flush=True)

    def write(self, folder: Path | None) -> None:
        """Write the report, if anything was measured and a folder is named."""
        if folder and (self.rows or self.curves or self.memory):
            report = Report(self.rows, self._ceilings, self.memory, self.curves)
            print(f"in {folder}: {', '.join(write_report(folder, report))}")
