"""A run's ``metrics.jsonl``: one line per epoch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import cast

from vae_jax.files import write_atomically
from vae_jax.training.run import Run, writing

Record = dict[str, int | float]
"""An epoch's numbers: ``epoch``, ``step``, ``seconds``, its loss and the terms of it."""


def append_metrics(run: Run, record: Record) -> None:
    """Append a line to ``metrics.jsonl`` and flush it to the file at once."""
    with writing(run.metrics), run.metrics.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(run: Run) -> list[Record]:
    """Return the epochs' records in ``metrics.jsonl``, without damaged or incomplete lines."""
    records: list[Record] = []
    if run.metrics.is_file():
        for line in run.metrics.read_bytes().splitlines():
            try:
                found: object = json.loads(line)
            except (ValueError, RecursionError):
                continue
            record = cast(Record, found) if isinstance(found, dict) else {}
            numbers = record.get("epoch"), record.get("step"), record.get("skipped", 0)
            if all(type(number) is int for number in numbers):
                records.append(record)
    return records


def rewrite_metrics(run: Run, records: Iterable[Record]) -> None:
    """Replace ``metrics.jsonl``; a resume drops the lines that it will write again."""
    with writing(run.metrics):
        write_atomically(run.metrics, "".join(json.dumps(r) + "\n" for r in records))
