"""What a live reference computed, recorded in a small file, and a port checked against it.

The weights and inputs are not stored: both sides make them from a seed (``seeded.py``). Of a tensor
of more than 64 numbers the file keeps a digest: four random projections, the root mean square and
the largest magnitude, each of the size of one element. Errors are relative to the largest magnitude
as in a live comparison, and a difference that is spread over a tensor, as rounding is, has the same
size in a digest: so the budgets are the same too. A single wrong number of n is diluted: it shows
once its error is above the budget times the square root of n.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import vae_jax
from vae_jax.errors import CheckpointError, UserError
from vae_jax.models import create_model, get_spec
from vae_jax.parity.check import NOISE_NOTE, budgets_of, check_gradients, check_training
from vae_jax.parity.port import Port
from vae_jax.parity.probes import Probe
from vae_jax.parity.references import create_reference, versions
from vae_jax.parity.report import Report, compare
from vae_jax.parity.seeded import bit_generator, seeded_probes, seeded_tensors
from vae_jax.typing import Tensors

WHOLE = 64  # a tensor of up to so many numbers is stored as it is
START_BUDGET = 1e-14  # the same bits on every machine, but for the order of a digest's sums

_PROJECTIONS = 4  # as many as a raw word has numbers of 16 bits
_CHUNK = 1 << 16
_START = "weights and inputs"
_DIGEST_NOTE = (
    f"of a tensor of more than {WHOLE} numbers, {_PROJECTIONS} random projections, the root mean "
    "square and the largest magnitude are compared"
)


def golden_file(name: str) -> Path:
    """Where the package keeps what a model's reference computed."""
    return (
        Path(vae_jax.__file__).parent / "assets" / "golden" / f"{get_spec(name).name}.safetensors"
    )


def record(
    name: str, *, seed: int = 0, batch_size: int = 4, steps: int = 20, **hyper: Any
) -> Tensors:
    """Runs a live reference in float64 and keeps what a port must reproduce.

    Args:
        name: one of ``vae_jax.MODELS``.
        seed: of the weights and inputs.
        batch_size: images a batch, at least 2.
        steps: training steps.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Returns:
        ``stage:tensor`` to float64 values or their digests; ``losses:term`` [steps]; and
        ``metadata``, JSON as uint8.

    Raises:
        MissingExtraError: the reference's framework is not installed.
    """
    start = seeded_tensors(name, seed, **hyper)
    first, *others = seeded_probes(name, batch_size, seed, steps + 1, **hyper)
    stages: dict[str, Mapping[str, Any]] = {_START: _digests(_start(start, first))}
    reference = create_reference(name, np.float64, start, **hyper)
    stages["forward"] = _digests(reference.forward(*first))
    stages["loss terms"], gradients = reference.backward(*first)
    stages["gradients"] = _digests(gradients)
    # Afresh: the gradients above have moved the running statistics.
    del reference, gradients
    reference = create_reference(name, np.float64, start, **hyper)
    del start
    losses = [reference.step(get_spec(name).recipe, *probe) for probe in others]
    if losses:
        stages["losses"] = {term: [step[term] for step in losses] for term in losses[0]}
        stages["weights and statistics"] = _digests(reference.state_dict())
        stages |= {moment: _digests(found) for moment, found in reference.moments().items()}
    metadata = {
        "model": name,
        "framework": versions(name),
        "precision": "float64",
        "seed": seed,
        "batch_size": batch_size,
        "steps": steps,
    }
    tensors: Tensors = {"metadata": np.frombuffer(json.dumps(metadata).encode(), np.uint8)}
    for stage, values in stages.items():
        for key, value in values.items():
            tensors[f"{stage}:{key}"] = np.asarray(value, np.float64)
            assert np.isfinite(value).all(), f"{name}'s {stage} of {key} are not finite"
    return tensors


def check_golden(name: str, recorded: Mapping[str, np.ndarray], **hyper: Any) -> Report:
    """Compares a port with what ``record`` kept of its reference; needs no other framework.

    The stages and budgets are those of a live comparison in float64 (``check_model``), after one
    that shows that both sides started from the same weights and inputs.

    Args:
        name: one of ``vae_jax.MODELS``.
        recorded: as ``record`` returned it.
        **hyper: the hyperparameters that it was recorded with.

    Raises:
        CheckpointError: the recorded values are no recording, or of another model.
        UserError: JAX is not set to ``jax_enable_x64``.
    """
    if jax.dtypes.canonicalize_dtype(np.float64) != np.float64:
        raise UserError("recorded values are float64; set jax_enable_x64 before comparing")
    facts, stages = _stages(name, recorded)
    start = seeded_tensors(name, facts["seed"], **hyper)
    first, *others = seeded_probes(
        name, facts["batch_size"], facts["seed"], facts["steps"] + 1, **hyper
    )
    rows = compare(_START, stages[_START], _digests(_start(start, first)), START_BUDGET)
    noise_fed = get_spec(name).reference.noise_fed(create_model(name, **hyper))
    reference, budgets = _Recorded(stages), budgets_of(name, "float64")
    port = _DigestedPort(name, np.float64, start, **hyper)
    rows += check_gradients(noise_fed, reference, reference, port, first, budgets)
    if others:
        rows += check_training(noise_fed, reference, port, others, budgets)
    title = (
        f"{name}: the port against what {facts['framework']} recorded, {facts['precision']}, "
        f"batch {facts['batch_size']}, {facts['steps']} training steps"
    )
    return Report(title, tuple(rows), (_DIGEST_NOTE, *([NOISE_NOTE] if noise_fed else [])))


def digest(name: str, value: Any) -> np.ndarray:
    """What is kept of a tensor: all of a small one; of a large one [6], four random projections,
    the root mean square and the largest magnitude. The name and size choose the vectors."""
    array = np.asarray(value, np.float64)
    if array.size <= WHOLE:
        return array
    flat, bits = array.reshape(-1), bit_generator("projections", name, array.size)
    sums = []
    for begin in range(0, flat.size, _CHUNK):
        chunk = flat[begin : begin + _CHUNK]
        numbers = bits.random_raw(chunk.size).astype("<u8").view("<i2")
        vectors = numbers.reshape(-1, _PROJECTIONS).T / 32768.0
        # From 0.5 to 1.5 either way: never near 0, or a single wrong number could stay unseen;
        # seldom equal, or two that changed places could.
        vectors += np.copysign(0.5, vectors)
        vectors = np.ascontiguousarray(vectors)
        vectors *= chunk
        sums.append([*vectors.sum(1), np.square(chunk).sum()])
    *projections, squares = np.stack(sums, axis=1).sum(1)  # along memory NumPy sums pairwise
    scale = math.sqrt(array.size)
    largest = np.maximum(flat.max(), -flat.min())
    return np.array([*(p / scale for p in projections), np.sqrt(squares) / scale, largest])


def _digests(tensors: Mapping[str, Any]) -> Tensors:
    return {name: digest(name, value) for name, value in tensors.items()}


def _start(tensors: Tensors, probe: Probe) -> dict[str, np.ndarray]:
    inputs = {k: v for k, v in probe._asdict().items() if v is not None}
    return {**tensors, **inputs}


class _DigestedPort(Port):
    """A port that gives digests of all its tensors."""

    def forward(self, image, noise, label=None) -> dict[str, np.ndarray]:
        return _digests(super().forward(image, noise, label))

    def backward(self, image, noise, label=None) -> tuple[dict[str, float], Tensors]:
        terms, gradients = super().backward(image, noise, label)
        return terms, _digests(gradients)

    def state_dict(self) -> Tensors:
        return _digests(super().state_dict())

    def moments(self) -> dict[str, Tensors]:
        return {moment: _digests(found) for moment, found in super().moments().items()}


class _Recorded:
    """A recording in the place of a live reference: it answers in the recorded order."""

    def __init__(self, stages: dict[str, Tensors]):
        self.stages, self.steps_taken = stages, 0

    def forward(self, image, noise, label=None) -> Tensors:
        return self.stages["forward"]

    def backward(self, image, noise, label=None) -> tuple[Tensors, Tensors]:
        return self.stages["loss terms"], self.stages["gradients"]

    def step(self, recipe, image, noise, label=None) -> dict[str, float]:
        losses = {k: float(v[self.steps_taken]) for k, v in self.stages["losses"].items()}
        self.steps_taken += 1
        return losses

    def state_dict(self) -> Tensors:
        return self.stages["weights and statistics"]

    def moments(self) -> dict[str, Tensors]:
        return {moment: self.stages[moment] for moment in ("exp_avg", "exp_avg_sq")}


def _stages(
    name: str, recorded: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, Tensors]]:
    """The metadata, and the recorded values by stage."""
    if "metadata" not in recorded:
        raise CheckpointError("these tensors are no recording of a reference: no metadata")
    facts = json.loads(np.asarray(recorded["metadata"], np.uint8).tobytes())
    if facts["model"] != name:
        raise CheckpointError(f"this is a recording of {facts['model']}, not of {name}")
    stages: dict[str, Tensors] = {}
    for key, value in recorded.items():
        stage, colon, tensor = key.partition(":")
        if colon:
            stages.setdefault(stage, {})[tensor] = value
    return facts, stages
