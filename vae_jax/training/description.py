"""What lies beside a checkpoint's arrays: their digest, and what a resume needs to know.

Orbax keeps it as JSON. A checksum tells damage, which may leave it JSON all the same.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, TypedDict

_FILE, _KEY, _CHECKSUM = "_CHECKPOINT_METADATA", "custom_metadata", "checksum"


class Description(TypedDict):
    """Of a checkpoint.

    Attributes:
        digest: of every array, by path.
        loss: mean over the steps of the epoch that it ends; None within an epoch.
        totals: within an epoch, the sums of its metrics so far.
    """

    digest: dict[str, int]
    loss: float | None
    totals: dict[str, Any]


def sealed(description: Description) -> dict[str, Any]:
    """The description with its checksum."""
    return {**description, _CHECKSUM: _checksum(dict(description))}


def read_description(checkpoint: Path) -> Description:
    """What was sealed, of a checkpoint's folder.

    Raises:
        ValueError: it is damaged.
    """
    try:
        found: Any = json.loads((checkpoint / _FILE).read_text())[_KEY]
        if found is None or found == {}:  # of a version that wrote none
            return Description(digest={}, loss=None, totals={})
        intact = found.pop(_CHECKSUM) == _checksum(found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"its {_FILE} cannot be read: {type(error).__name__}") from error
    if not intact:
        raise ValueError(f"its {_FILE} is not what was saved")
    return Description(**found)


def _checksum(description: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(description, sort_keys=True).encode())
