"""The format of a recording: digests of tensors, and metadata that must account for them.

A digest is a tensor of any size in six numbers that a difference cannot hide from: four random
projections, the root mean square and the largest magnitude, each of the size of one element. A
difference that is spread over a tensor, as rounding is, has the same size in a digest. A single
wrong number of n is diluted: it shows once its error is above the tolerance times the square root
of n.

A recording is anybody's file: what it names is computed with, so nothing in it may ask for more
work or memory than the recording itself was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypedDict, get_origin, get_type_hints

import numpy as np

from vae_jax.convert.mapping import source_shapes
from vae_jax.errors import CheckpointError
from vae_jax.models import create_model, get_spec
from vae_jax.parity.backends import Value
from vae_jax.parity.precision import precision_of
from vae_jax.parity.probes import bit_generator
from vae_jax.parity.stages import Stage
from vae_jax.typing import Tensors

FORMAT = "vae_jax parity bundle, 1"
WHOLE = 16  # a tensor of up to so many numbers is kept as it is
PROJECTIONS = 4  # as many as a raw word has numbers of 16 bits
LENGTH = PROJECTIONS + 2  # of a digest, and of nothing else
_CHUNK = 1 << 16

_MAX_METADATA = 4 << 20
_MAX_TENSORS = 1 << 20  # of all observations; one without axes has a structure of no numbers
_MAX_NUMBERS = 1 << 28  # of all weights, and of a batch's pixels: a gigabyte each in float32


class Metadata(TypedDict):
    """What a recording is of, as JSON, whose tuples are lists.

    A layout has the name and size of each tensor; an observation has its stage, its step and the
    number of its layout.
    """

    format: str
    model: str
    hyper: dict[str, object]
    framework: str
    seed: int
    batch_size: int
    steps: int
    weights_sha256: str
    weights_from_seed: bool
    layouts: list[list[tuple[str, int]]]
    observations: list[tuple[str, int, int]]


_TYPES = {key: get_origin(kind) or kind for key, kind in get_type_hints(Metadata).items()}


class Expected(NamedTuple):
    """What an observation should be.

    Attributes:
        stage: as the observation's.
        step: as the observation's.
        values: the truth by name: the reference's own numbers in float64, or of a recording
            their digests.
        reference_errors: the reference's own distance from it in the precision under test, root
            mean square by the scale; None where the precision is the truth's.
    """

    stage: Stage
    step: int
    values: Mapping[str, Value]
    reference_errors: Mapping[str, float] | None


def digest(name: str, value: Value) -> np.ndarray:
    """Return all of a small tensor, in one dimension; of a large one, or one of 6 numbers, [6].

    The name and size choose the vectors.
    """
    array = np.asarray(value, np.float64)
    flat = array.reshape(-1)
    if flat.size <= WHOLE and flat.size != LENGTH:
        return flat
    bits, sums = bit_generator("projections", name, flat.size), []
    for begin in range(0, flat.size, _CHUNK):
        chunk = flat[begin : begin + _CHUNK]
        numbers = bits.random_raw(chunk.size).astype("<u8").view("<i2")
        vectors = numbers.reshape(-1, PROJECTIONS).T / 32768.0
        # From 0.5 to 1.5 either way: never near 0, or a single wrong number could stay unseen;
        # seldom equal, or two that changed places could.
        vectors += np.copysign(0.5, vectors)
        vectors = np.ascontiguousarray(vectors)
        vectors *= chunk
        sums.append([*vectors.sum(1), np.square(chunk).sum()])
    *projections, squares = np.stack(sums, axis=1).sum(1)  # along memory NumPy sums pairwise
    scale = math.sqrt(flat.size)
    largest = np.maximum(flat.max(), -flat.min())
    return np.array([*(p / scale for p in projections), np.sqrt(squares) / scale, largest])


def digests(tensors: Mapping[str, Value]) -> Tensors:
    """Return the digest of each tensor."""
    return {name: digest(name, value) for name, value in tensors.items()}


def read_recording(
    recorded: Mapping[str, np.ndarray], precision: str
) -> tuple[Metadata, Iterator[Expected]]:
    """Return the metadata and what is expected in a precision.

    The metadata's hyperparameters are as the model takes them.

    Raises:
        CheckpointError: it is no recording of this version, or contradicts itself.
    """
    try:
        about = _metadata(recorded["metadata"])
        _require_model(about)
        values, errors = recorded["values"], recorded.get(precision)
        _require(values.dtype == np.float64 and values.ndim == 1)
        totals = [_total(layout) for layout in about["layouts"]]
        shown = [totals[_layout_of(observation)] for observation in about["observations"]]
        _require(values.size == sum(size for size, _ in shown))
        _require(sum(count for _, count in shown) <= _MAX_TENSORS)
        _require(precision_of(precision).is_exact == (errors is None))
        _require(errors is None or errors.shape == (sum(count for _, count in shown),))
        _require(errors is None or errors.dtype == np.float32)
    except (KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as problem:
        raise CheckpointError(
            "these tensors are no parity bundle of this version, or damaged: make one with "
            "`vae-jax parity record MODEL --out FILE`"
        ) from problem
    return about, _expected(about, values, errors)


def _metadata(stored: np.ndarray) -> Metadata:
    _require(stored.dtype == np.uint8 and stored.ndim == 1 and stored.size <= _MAX_METADATA)
    found = json.loads(stored.tobytes())
    about: Metadata = found
    _require(isinstance(found, dict) and found.keys() >= _TYPES.keys())
    _require(all(type(found[key]) is kind for key, kind in _TYPES.items()))
    _require(about["format"] == FORMAT)
    _require(0 <= about["seed"] < 1 << 63 and about["batch_size"] >= 1)
    # Every step was recorded with its losses.
    _require(0 <= about["steps"] <= len(about["observations"]))
    return about


def _require_model(about: Metadata) -> None:
    """Make JSON's lists tuples again, and check that the model and a batch have a size."""
    hyper = {k: tuple(v) if type(v) is list else v for k, v in about["hyper"].items()}
    name, about["hyper"] = get_spec(about["model"]).name, hyper
    model: Any = create_model(name, **hyper)
    _require(about["batch_size"] * math.prod(model.image_shape) <= _MAX_NUMBERS)
    _require(sum(map(math.prod, source_shapes(name, **hyper).values())) <= _MAX_NUMBERS)


def _total(layout: Any) -> tuple[int, int]:
    """Return how many numbers and how many tensors an observation of this layout has."""
    for name, size in layout:
        _require(type(name) is str and type(size) is int and size >= 0)
    return sum(size for _, size in layout), len(layout)


def _layout_of(observation: Any) -> int:
    stage, step, layout = observation
    _require(Stage(stage).value == stage)  # raises ValueError for one that there is not
    _require(type(step) is int and type(layout) is int and layout >= 0)
    return layout


def _expected(about: Metadata, values: np.ndarray, errors: np.ndarray | None) -> Iterator[Expected]:
    place = number = 0
    for stage, step, layout in about["observations"]:
        found, own = {}, {}
        for name, size in about["layouts"][layout]:
            found[name] = values[place : place + size]
            if errors is not None:
                own[name] = float(errors[number])
            place, number = place + size, number + 1
        yield Expected(Stage(stage), step, found, None if errors is None else own)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError
