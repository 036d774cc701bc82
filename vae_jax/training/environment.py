"""The environments of a run's steps: versions, devices and settings that its results depend on.

``run.json`` keeps a list of segments, because a run may be resumed under other versions or on other
devices. Random numbers stay the same; sums may be rounded differently.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, TypeGuard, cast

import flax
import jax  # many of its functions have no full hints
import numpy as np
import optax  # without stubs

from vae_jax.typing import Device
from vae_jax.version import __version__


class Environment(TypedDict):
    """The versions, devices and settings of a process, as ``run.json`` keeps them."""

    versions: dict[str, str]
    devices: list[str]
    backend: str
    x64: bool
    matmul_precision: str | None
    prng: str
    xla_flags: str
    git_revision: str | None


class Segment(TypedDict):
    """The steps of a run taken in one environment, up to the start of the next segment.

    Attributes:
        from_step: the number of steps taken before the segment.
        environment: the result of ``environment``.
    """

    from_step: int
    environment: Environment


def environment() -> Environment:
    """Return the versions, devices and settings of this process."""
    config: Any = jax.config
    devices = cast(list[Device], jax.devices())
    return {
        "versions": {
            "vae_jax": __version__,
            "jax": jax.__version__,
            "flax": flax.__version__,
            "optax": optax.__version__,
            "numpy": np.__version__,
        },
        "devices": [device.device_kind for device in devices],
        "backend": jax.default_backend(),
        "x64": bool(config.jax_enable_x64),
        "matmul_precision": config.jax_default_matmul_precision,
        "prng": config.jax_default_prng_impl,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git_revision": _git_revision(),
    }


def read_segments(description: Mapping[str, Any]) -> list[Segment]:
    """Return the segments of a ``run.json``, without damaged ones.

    A ``run.json`` from before segments existed has one environment for all steps.
    """
    found: object = description.get("segments")
    if found is None:
        found = [{"from_step": 0, "environment": description.get("environment")}]
    segments = cast(list[object], found) if isinstance(found, list) else []
    return [segment for segment in segments if _is_segment(segment)]


def add_segment(segments: list[Segment], step: int, now: Environment) -> list[Segment]:
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
