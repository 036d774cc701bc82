"""Metadata beside a checkpoint's arrays: their checksums, and what a resume needs to know.

Orbax stores it as JSON. It has a checksum of its own, because damaged text may still be valid JSON.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, TypedDict

_FILE, _KEY, _CHECKSUM = "_CHECKPOINT_METADATA", "custom_metadata", "checksum"


class CheckpointMetadata(TypedDict):
    """Metadata stored beside a checkpoint's arrays; its keys are those of the JSON.

    Attributes:
        digest: the checksum of every array, by path; ``{}`` in checkpoints that have none.
        loss: the mean over the steps of the epoch that the checkpoint ends; None within an epoch.
        totals: the sums of the epoch's metrics so far; ``{}`` at the end of an epoch.
    """

    digest: dict[str, int]
    loss: float | None
    totals: dict[str, int | float]


def with_checksum(metadata: CheckpointMetadata) -> dict[str, object]:
    """Return the metadata with its checksum, as it is stored."""
    return {**metadata, _CHECKSUM: _checksum(dict(metadata))}


def read_metadata(checkpoint: Path) -> CheckpointMetadata:
    """Return the metadata in a checkpoint's folder.

    Raises:
        ValueError: the metadata is damaged.
    """
    try:
        found: Any = json.loads((checkpoint / _FILE).read_text())[_KEY]
        if found is None or found == {}:  # written by a version that stored no metadata
            return CheckpointMetadata(digest={}, loss=None, totals={})
        intact = found.pop(_CHECKSUM) == _checksum(found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its {_FILE} cannot be read: {type(error).__name__}") from error
    if not intact:
        raise ValueError(f"its {_FILE} is not what was saved")
    return CheckpointMetadata(**found)


def _checksum(metadata: dict[str, object]) -> int:
    return zlib.crc32(json.dumps(metadata, sort_keys=True).encode())
