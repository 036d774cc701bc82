"""A recording's metadata and values, believed only as far as they account for each other.

A bundle is anybody's file: what it names is computed with, so nothing in it may ask for more work
or memory than the recording itself was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vae_jax.convert.mapping import source_shapes
from vae_jax.errors import CheckpointError
from vae_jax.models import create_model, get_spec
from vae_jax.parity.compare import Expected
from vae_jax.parity.precision import precision_of

FORMAT = "vae_jax parity bundle, 1"
_TYPES: dict[str, type] = {
    "format": str,
    "model": str,
    "hyper": dict,
    "framework": str,
    "seed": int,
    "batch_size": int,
    "steps": int,
    "weights_sha256": str,
    "weights_from_seed": bool,
    "layouts": list,
    "observations": list,
}
METADATA_KEYS = tuple(_TYPES)
_MAX_METADATA = 4 << 20
_MAX_TENSORS = 1 << 20  # of all observations; one without axes has a structure of no numbers
_MAX_NUMBERS = 1 << 28  # of all weights, and of a batch's pixels: a gigabyte each in float32


def read_recording(
    recorded: Mapping[str, np.ndarray], precision: str
) -> tuple[dict[str, Any], Iterator[Expected]]:
    """The metadata, its hyperparameters as the model takes them, and what is expected in a
    precision.

    Raises:
        CheckpointError: it is no recording of this version, or contradicts itself.
    """
    try:
        about = _metadata(recorded["metadata"])
        _require_model(about)
        values, strays = recorded["values"], recorded.get(precision)
        _require(values.dtype == np.float64 and values.ndim == 1)
        totals = [_total(layout) for layout in about["layouts"]]
        shown = [totals[_layout_of(observation)] for observation in about["observations"]]
        _require(values.size == sum(size for size, _ in shown))
        _require(sum(count for _, count in shown) <= _MAX_TENSORS)
        _require(precision_of(precision).is_exact == (strays is None))
        _require(strays is None or strays.shape == (sum(count for _, count in shown),))
        _require(strays is None or strays.dtype == np.float32)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise CheckpointError(
            "these tensors are no parity bundle of this version, or damaged: make one with "
            "`vae-jax parity record MODEL --out FILE`"
        ) from error
    return about, _expected(about, values, strays)


def _metadata(stored: np.ndarray) -> dict[str, Any]:
    _require(stored.dtype == np.uint8 and stored.ndim == 1 and stored.size <= _MAX_METADATA)
    about = json.loads(stored.tobytes())
    _require(isinstance(about, dict) and about.keys() >= _TYPES.keys())
    _require(all(type(about[key]) is kind for key, kind in _TYPES.items()))
    _require(about["format"] == FORMAT)
    _require(0 <= about["seed"] < 1 << 63 and about["batch_size"] >= 1)
    # Every step was recorded with its losses.
    _require(0 <= about["steps"] <= len(about["observations"]))
    return about


def _require_model(about: dict[str, Any]) -> None:
    """Makes JSON's lists tuples again, and checks that the model and a batch have a size."""
    hyper = {k: tuple(v) if type(v) is list else v for k, v in about["hyper"].items()}
    name, about["hyper"] = get_spec(about["model"]).name, hyper
    model: Any = create_model(name, **hyper)
    _require(about["batch_size"] * math.prod(model.image_shape) <= _MAX_NUMBERS)
    _require(sum(map(math.prod, source_shapes(name, **hyper).values())) <= _MAX_NUMBERS)


def _total(layout: Any) -> tuple[int, int]:
    """How many numbers and how many tensors an observation of this layout has."""
    for name, size in layout:
        _require(type(name) is str and type(size) is int and size >= 0)
    return sum(size for _, size in layout), len(layout)


def _layout_of(observation: Any) -> int:
    stage, step, layout = observation
    _require(type(stage) is str and type(step) is int and type(layout) is int and layout >= 0)
    return layout


def _expected(
    about: Mapping[str, Any], values: np.ndarray, strays: np.ndarray | None
) -> Iterator[Expected]:
    place = number = 0
    for stage, step, layout in about["observations"]:
        found, own = {}, {}
        for name, size in about["layouts"][layout]:
            found[name] = values[place : place + size]
            if strays is not None:
                own[name] = float(strays[number])
            place, number = place + size, number + 1
        yield Expected(stage, step, found, None if strays is None else own)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError
