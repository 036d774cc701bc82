"""Recordings of what a live reference computed, to check a port where no framework is installed.

Of each tensor a bundle keeps a digest (``recording.py``) of the reference's float64 numbers, and
the reference's own error in float32, TF32 and bfloat16. Weights and inputs are not stored: both
ends make them from a seed (``probes.py``), or the weights come from a checkpoint that the file
knows by its hash.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vae_jax.data.pixels import scale_pixels
from vae_jax.errors import CheckpointError, UserError
from vae_jax.models import create_model, get_spec
from vae_jax.parity.backends import Backend, create_reference, versions
from vae_jax.parity.backends.flax import Port, heads
from vae_jax.parity.compare import compare, live
from vae_jax.parity.observe import Observation, Plan, observe, plan_of
from vae_jax.parity.precision import PRECISIONS, PrecisionLike, precision_of
from vae_jax.parity.probes import Probe, seeded_probe, seeded_tensors
from vae_jax.parity.recording import (
    FORMAT,
    PROJECTIONS,
    WHOLE,
    Expected,
    digests,
    read_recording,
)
from vae_jax.parity.report import Report, facts_of, hash_of, notes_of
from vae_jax.parity.stages import Kind, Stage
from vae_jax.parity.tolerances import Tolerances, tolerances_of
from vae_jax.training.environment import environment
from vae_jax.typing import Tensors, Variables

# An error that four projections estimate is over 2.2 times the true one in 1 case of 1,000.
_DIGEST_FACTOR = 2.2
_DIGEST_NOTE = (
    f"of a tensor of more than {WHOLE} numbers, {PROJECTIONS} random projections, the root "
    "mean square and the largest magnitude are compared"
)
_OUTPUTS_TOLERANCE = 1e-5  # of recorded outputs, in float32


def bundle_file(name: str) -> Path:
    """Return where the package keeps the bundle of a model."""
    return Path(__file__).parents[1] / "assets" / "bundles" / f"{get_spec(name).name}.safetensors"


def record(
    name: str,
    *,
    seed: int = 0,
    batch_size: int = 4,
    steps: int = 20,
    tensors: Tensors | None = None,
    **hyper: object,
) -> Tensors:
    """Run a live reference and keep what a port must reproduce.

    Args:
        name: one of ``vae_jax.MODELS``.
        seed: of the inputs, and of the weights unless there are ``tensors``.
        batch_size: images a batch, at least 2.
        steps: training steps.
        tensors: weights to start from, rounded to float32.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Returns:
        ``values`` float64 [N], the digests one after another; ``float32``, ``tf32``, ``bfloat16``
        float32 [M], the reference's own error for each; ``metadata``, JSON as uint8.

    Raises:
        MissingExtraError: the reference's framework is not installed.
        CheckpointError: ``tensors`` are not this model's.
    """
    start, plan = _plan(name, seed, batch_size, steps, tensors, hyper)
    kept: list[np.ndarray] = []
    errors: dict[str, list[float]] = {}
    layouts: list[list[list[str | int]]] = []
    observations = []
    own = _start_observation(start, plan)

    def reference(precision: PrecisionLike) -> Backend:
        return create_reference(name, precision, start, seed, **hyper)

    for stage, step, values in itertools.chain([own], observe(reference("float64"), plan)):
        found = digests(values)
        layout = [[key, value.size] for key, value in found.items()]
        if layout not in layouts:
            layouts.append(layout)
        observations.append([stage.value, step, layouts.index(layout)])
        kept += found.values()
        for key, value in found.items():
            assert np.isfinite(value).all(), f"{name}'s {stage.value} of {key} are not finite"
    for precision in (p for p in PRECISIONS.values() if not p.is_exact):
        errors[precision.name] = [0.0] * len(own.tensors)
        for expected in live(reference("float64"), reference(precision), plan):
            assert expected.reference_errors is not None
            errors[precision.name] += [expected.reference_errors[key] for key in expected.values]
    installed = environment()["versions"]
    metadata = {
        "format": FORMAT,
        "model": name,
        "hyper": hyper,
        "framework": versions(name),
        "recorded_with": {package: installed[package] for package in ("vae_jax", "numpy")},
        "seed": seed,
        "batch_size": batch_size,
        "steps": steps,
        "weights_sha256": hash_of(start),
        "weights_from_seed": tensors is None,
        "layouts": layouts,
        "observations": observations,
    }
    arrays: Tensors = {"values": np.concatenate(kept)}
    arrays |= {key: np.asarray(value, np.float32) for key, value in errors.items()}
    return arrays | {"metadata": np.frombuffer(json.dumps(metadata).encode(), np.uint8)}


def check_bundle(
    recorded: Mapping[str, np.ndarray],
    *,
    model: str | None = None,
    precision: str = "float64",
    tensors: Tensors | None = None,
    stop_early: bool = False,
) -> Report:
    """Compare a port with what ``record`` kept of its reference; needs no other framework.

    Args:
        recorded: as ``record`` returned it, or as ``read_checkpoint`` read it.
        model: the model that it should be of; default: whichever it is of.
        precision: of the port.
        tensors: the weights that it was recorded with, where they were not made from its seed.
        stop_early: stop after the first observation over its tolerance.

    Raises:
        CheckpointError: the recorded values are no bundle, or the weights are others.
        UserError: the weights are missing.
    """
    chosen, (about, expected) = precision_of(precision), read_recording(recorded, precision)
    name, hyper = about["model"], about["hyper"]
    if model not in (None, name):
        raise CheckpointError(f"this is a bundle of {name}, not of {model}")
    if tensors is None and not about["weights_from_seed"]:
        raise UserError(
            "this bundle was recorded from a checkpoint: give the same one with --checkpoint"
        )
    if tensors is not None and about["weights_from_seed"]:
        raise UserError("this bundle makes its weights from a seed: leave out --checkpoint")
    start, plan = _plan(name, about["seed"], about["batch_size"], about["steps"], tensors, hyper)
    recorded_hash, own_hash = about["weights_sha256"], hash_of(start)
    if recorded_hash != own_hash and not about["weights_from_seed"]:  # else a row will say so
        raise CheckpointError(
            f"this bundle was recorded from other weights (SHA-256 {recorded_hash[:16]}..., these "
            f"have {own_hash[:16]}...): give the checkpoint that it was recorded from"
        )
    first, port = _start_observation(start, plan), Port(name, chosen, start, **hyper)
    found = itertools.chain([first], observe(port, plan))
    rows = compare(
        expected,
        (Observation(stage, step, digests(values)) for stage, step, values in found),
        chosen,
        _tolerances(name),
        plan.zero_gradient_tensors,
        digested=True,
        stop_early=stop_early,
    )
    title = (
        f"{name}: the port against what {about['framework']} recorded, {precision}, "
        f"batch {about['batch_size']}, {about['steps']} training steps"
    )
    notes = (_DIGEST_NOTE, *notes_of(plan.zero_gradient_tensors, chosen))
    given = {key: about[key] for key in ("hyper", "batch_size", "steps", "seed")}
    return Report(title, tuple(rows), notes, facts_of(name, chosen, start, **given))


def check_recorded(name: str, variables: Variables, recorded: Tensors, **hyper: object) -> Report:
    """Compare ``encode`` and ``decode`` in float32 with recorded ones, each head by itself.

    Args:
        name: one of ``vae_jax.MODELS``.
        variables: the imported weights.
        recorded: ``input`` (uint8 [B, H, W, C]) and the reference's outputs for it: ``latent`` or
            ``mean`` and ``std``, and ``image`` decoded from the latent or the mean.
        **hyper: the model's hyperparameters where they differ from the reference's.
    """
    model: Any = create_model(name, **hyper)
    x = scale_pixels(recorded["input"], get_spec(name).pixel_range)

    @jax.jit
    def run(variables, x):
        encoded = model.apply(variables, x, method="encode")
        image = model.apply(variables, encoded.mean, method="decode")
        return {**heads(encoded), "image": image}

    found = {k: np.asarray(v) for k, v in run(variables, x).items()}
    expected = {k: v for k, v in recorded.items() if k != "input"}
    rows = compare(
        iter([Expected(Stage.OUTPUTS, 0, expected, None)]),
        iter([Observation(Stage.OUTPUTS, 0, found)]),
        PRECISIONS["float32"],
        Tolerances({Kind.OUTPUTS: _OUTPUTS_TOLERANCE}, {}),
    )
    return Report(
        f"{name}: the port against its reference's recorded outputs, float32", tuple(rows)
    )


def _plan(
    name: str,
    seed: int,
    batch_size: int,
    steps: int,
    tensors: Tensors | None,
    hyper: dict[str, object],
) -> tuple[Tensors, Plan]:
    """Return weights that float32 holds exactly, so that one recording serves every precision."""
    start = seeded_tensors(name, seed, **hyper) if tensors is None else tensors
    start = {
        k: v.astype(np.float32) if np.issubdtype(v.dtype, np.floating) else v
        for k, v in start.items()
    }

    def probe(number: int) -> Probe:
        return seeded_probe(name, batch_size, seed, number, **hyper)

    return start, plan_of(name, PRECISIONS["float32"], start, probe, steps, **hyper)


def _start_observation(start: Tensors, plan: Plan) -> Observation:
    inputs = {f"input {i}": array for i, array in enumerate(plan.probe(0)) if array is not None}
    return Observation(Stage.WEIGHTS_AND_INPUTS, 0, {**start, **inputs})


def _tolerances(name: str) -> Tolerances:
    """Return those of a live comparison, wider where an error ratio is estimated from a digest."""
    found = tolerances_of(name)
    wider = {kind: tolerance * _DIGEST_FACTOR for kind, tolerance in found.ratio.items()}
    return found._replace(ratio=wider)
