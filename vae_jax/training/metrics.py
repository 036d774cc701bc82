"""A run's ``metrics.jsonl``: one line per epoch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vae_jax.files import write_atomically
from vae_jax.training.run import Run, writing


def append_metrics(run: Run, record: dict[str, Any]) -> None:
    """Append a line to ``metrics.jsonl`` and flush it to the file at once."""
    with writing(run.metrics), run.metrics.open("a") as file:
        file.write(json.dumps(record) + "\n")


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """Return the epochs' records in ``metrics.jsonl``, without damaged or incomplete lines."""
    records = []
    if run.metrics.is_file():
        for line in run.metrics.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and all(
                type(record.get(name, default)) is int
                for name, default in (("epoch", None), ("step", None), ("skipped", 0))
            ):
                records.append(record)
    return records


def rewrite_metrics(run: Run, records: Iterable[dict[str, Any]]) -> None:
    """Replace ``metrics.jsonl``; a resume drops the lines that it will write again."""
    with writing(run.metrics):
        write_atomically(run.metrics, "".join(json.dumps(r) + "\n" for r in records))
