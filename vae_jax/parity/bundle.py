"""What a live reference computed, recorded in a small file, and a port checked against it where no
framework is installed.

Of each tensor the file keeps a digest (``digest.py``) of the reference's float64 numbers, and how
far the reference itself strays from them in float32, TF32 and bfloat16. Weights and inputs are not
stored: both make them from a seed (``seeded.py``), or the weights come from a checkpoint that
the file knows by its hash.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.errors import CheckpointError, UserError
from vae_jax.models import create_model, get_spec
from vae_jax.parity.backends import create_reference, versions
from vae_jax.parity.backends.flax import Port
from vae_jax.parity.compare import compare, live
from vae_jax.parity.digest import PROJECTIONS, WHOLE, digests
from vae_jax.parity.facts import facts, hash_of, notes_of
from vae_jax.parity.precision import PRECISIONS, precision_of
from vae_jax.parity.recording import FORMAT, read_recording
from vae_jax.parity.report import Report
from vae_jax.parity.seeded import seeded_probe, seeded_tensors
from vae_jax.parity.stages import Observation, Plan, observe, plan_of
from vae_jax.parity.tolerances import Tolerances, tolerances_of
from vae_jax.training.run import environment
from vae_jax.typing import Tensors

_START = "weights and inputs"
# An error that four projections estimate is over 2.2 times the true one in 1 case of 1,000.
_K_FACTOR = 2.2
_DIGEST_NOTE = (
    f"of a tensor of more than {WHOLE} numbers, {PROJECTIONS} random projections, the root "
    "mean square and the largest magnitude are compared"
)


def bundle_file(name: str) -> Path:
    """Where the package keeps the bundle of a model."""
    return Path(__file__).parents[1] / "assets" / "bundles" / f"{get_spec(name).name}.safetensors"


def record(
    name: str,
    *,
    seed: int = 0,
    batch_size: int = 4,
    steps: int = 20,
    tensors: Tensors | None = None,
    **hyper: Any,
) -> Tensors:
    """Runs a live reference and keeps what a port must reproduce.

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
    noise_fed = get_spec(name).reference.noise_fed(create_model(name, **hyper))
    kept: dict[str, list[Any]] = {"values": []}
    layouts: list[list[list[Any]]] = []
    listed = []
    own = _start_observation(start, plan)
    truth = observe(create_reference(name, np.float64, start, **hyper), plan)
    for stage, step, values in itertools.chain([own], truth):
        found = digests(values)
        layout = [[key, value.size] for key, value in found.items()]
        if layout not in layouts:
            layouts.append(layout)
        listed.append([stage, step, layouts.index(layout)])
        kept["values"] += found.values()
        for key, value in found.items():
            assert np.isfinite(value).all(), f"{name}'s {stage} of {key} are not finite"
    for precision in (p for p in PRECISIONS.values() if not p.is_exact):
        truth = create_reference(name, np.float64, start, **hyper)
        rounded = create_reference(name, precision, start, **hyper)
        kept[precision.name] = [0.0] * len(own.tensors)
        for expected in live(truth, rounded, plan, noise_fed):
            assert expected.strays is not None
            kept[precision.name] += [expected.strays[key] for key in expected.values]
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
        "observations": listed,
    }
    arrays: Tensors = {"values": np.concatenate(kept.pop("values"))}
    arrays |= {name: np.asarray(strays, np.float32) for name, strays in kept.items()}
    return arrays | {"metadata": np.frombuffer(json.dumps(metadata).encode(), np.uint8)}


def check_bundle(
    recorded: Mapping[str, np.ndarray],
    *,
    model: str | None = None,
    precision: str = "float64",
    tensors: Tensors | None = None,
    stop_early: bool = False,
) -> Report:
    """Compares a port with what ``record`` kept of its reference; needs no other framework.

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
    noise_fed = get_spec(name).reference.noise_fed(create_model(name, **hyper))
    rows = compare(
        expected,
        _digested(
            _start_observation(start, plan), observe(Port(name, chosen, start, **hyper), plan)
        ),
        chosen,
        _tolerances(name),
        noise_fed,
        digested=True,
        stop_early=stop_early,
    )
    title = (
        f"{name}: the port against what {about['framework']} recorded, {precision}, "
        f"batch {about['batch_size']}, {about['steps']} training steps"
    )
    notes = (_DIGEST_NOTE, *notes_of(noise_fed, chosen))
    given = {key: about[key] for key in ("seed", "batch_size", "steps", "hyper")}
    known = facts(name, chosen, start, **given)
    return Report(title, tuple(rows), notes, known)


def _plan(
    name: str, seed: int, batch_size: int, steps: int, tensors: Tensors | None, hyper: dict
) -> tuple[Tensors, Plan]:
    """Weights that float32 holds exactly, so that one recording serves every precision."""
    start = seeded_tensors(name, seed, **hyper) if tensors is None else tensors
    start = {
        k: v.astype(np.float32) if np.issubdtype(v.dtype, np.floating) else v
        for k, v in start.items()
    }

    def probe(number: int) -> Any:
        return seeded_probe(name, batch_size, seed, number, **hyper)

    return start, plan_of(name, PRECISIONS["float32"], start, probe, steps, **hyper)


def _start_observation(start: Tensors, plan: Plan) -> Observation:
    inputs = {f"input {i}": array for i, array in enumerate(plan.probe(0)) if array is not None}
    return Observation(_START, 0, {**start, **inputs})


def _digested(first: Observation, others: Iterator[Observation]) -> Iterator[Observation]:
    for stage, step, tensors in itertools.chain([first], others):
        yield Observation(stage, step, digests(tensors))


def _tolerances(name: str) -> Tolerances:
    """Return those of a live comparison, wider where K is estimated from a digest."""
    relative, k, floor = tolerances_of(name)
    wider = {stage: tolerance * _K_FACTOR for stage, tolerance in k.items()}
    return Tolerances(relative, wider, floor)
