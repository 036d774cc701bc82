"""The environments of a run's steps: versions, devices and settings that its results depend on.

``run.json`` keeps a list of segments, because a run may be resumed under other versions or on other
devices. Random numbers stay the same; sums may be rounded differently.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, TypedDict, TypeGuard

import flax
import jax
import numpy as np
import optax

from vae_jax.version import __version__


class Segment(TypedDict):
    """The steps of a run taken in one environment, up to the start of the next segment.

    Attributes:
        from_step: the number of steps taken before the segment.
        environment: the result of ``environment``.
    """

    from_step: int
    environment: dict[str, Any]


def environment() -> dict[str, Any]:
    """Return the versions, devices and settings of this process."""
    config: Any = jax.config
    return {
        "versions": {
            "vae_jax": __version__,
            "jax": jax.__version__,
            "flax": flax.__version__,
            "optax": optax.__version__,
            "numpy": np.__version__,
        },
        "devices": [d.device_kind for d in jax.devices()],
        "backend": jax.default_backend(),
        "x64": bool(config.jax_enable_x64),
        "matmul_precision": config.jax_default_matmul_precision,
        "prng": config.jax_default_prng_impl,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git_revision": _git_revision(),
    }


def read_segments(description: dict[str, Any]) -> list[Segment]:
    """Return the segments of a ``run.json``, without damaged ones.

    A ``run.json`` from before segments existed has one environment for all steps.
    """
    found: Any = description.get("segments")
    if found is None:
        found = [{"from_step": 0, "environment": description.get("environment")}]
    return [s for s in found if _is_segment(s)] if isinstance(found, list) else []


def add_segment(segments: list[Segment], step: int, now: dict[str, Any]) -> list[Segment]:
    """Return the segments of a run that continues from ``step`` in the environment ``now``.

    Later segments are dropped, because their steps are taken again.
    """
    kept = [segment for segment in segments if segment["from_step"] < step]
    if kept and kept[-1]["environment"] == now:
        return kept
    return [*kept, Segment(from_step=step, environment=now)]


def other_versions(segments: list[Segment]) -> str | None:
    """Return the versions that changed in the last segment, as text; None if none did."""
    if len(segments) < 2:
        return None
    before, now = (segment["environment"]["versions"] for segment in segments[-2:])
    names = [name for name in now if name in before and before[name] != now[name]]
    return ", ".join(f"{name} {now[name]} (was {before[name]})" for name in names) or None


def _is_segment(found: Any) -> TypeGuard[Segment]:
    try:
        return type(found["from_step"]) is int and isinstance(
            found["environment"]["versions"], dict
        )
    except (LookupError, TypeError):
        return False


def _git_revision() -> str | None:
    """Return the git revision of the package's source; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
