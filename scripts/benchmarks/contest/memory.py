"""Peak memory of a contestant at work, in a process of its own.

On a CPU that is the largest resident set during the work less the one before the model is made,
when the framework has done a tiny model's work and loaded what it loads. The first unit of work
includes the compiler's memory; where the system can tell (Linux), that of the units after it is
measured apart. A contestant whose times are taken with freed memory kept keeps it here. On a GPU it
is the peak that the framework's allocator reports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import vae_jax
from vae_jax.benchmark.tasks import Task, tiny
from vae_jax.errors import RunError
from vae_jax.memory import PeakMeter

_STEPS = 3
_TINY: dict[str, dict[str, Any]] = {
    "flax_backend": {"model": "digits_ae"},
    "torch_backend": {"model": "conv_vae", "image_shape": (8, 8, 1), "widths": (1,)},
    "paddle_backend": {"model": "digits_vae", "latent_size": 1, "channels": 1},
    "tensorflow_backend": {"model": "stddev_vae", "latent_size": 1},
}
_FOLDER = Path(__file__).parents[1]


def peak_memory(task: Task, contestant: str, *, count: int = _STEPS) -> dict[str, Any]:
    """Measure one contestant in a fresh process.

    Args:
        task: what it does.
        contestant: one of ``contest.contestants.CONTESTANTS``.
        count: units of work.

    Returns:
        ``model``, ``work``, ``batch_size``, ``contestant``; ``peak_bytes`` of all the work and
        ``steady_bytes`` of the units after the first (None where that cannot be told); and for
        this package's training step ``compiled``, XLA's own account in bytes.

    Raises:
        RunError: the process failed; the message is the last line of its error.
    """
    asked = json.dumps([dataclasses.asdict(task), contestant, count])
    command = [sys.executable, "-m", "contest.memory", asked]
    root = str(Path(vae_jax.__file__).parents[1])  # installed or not
    paths = os.pathsep.join(filter(None, (str(_FOLDER), root, os.environ.get("PYTHONPATH"))))
    # Preallocated, JAX's share of a GPU would hide what is needed of it.
    extra = {"PYTHONPATH": paths, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | extra)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise RunError(f"{contestant} on {task.model}, batch {task.batch_size}: {reason[:300]}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(task: Task, contestant: str, count: int) -> dict[str, Any]:
    """Return what ``peak_memory`` does, of this process."""
    from contest.contestants import CONTESTANTS, OURS, build
    from contest.processes import prepare_process

    group, backend, _ = CONTESTANTS[contestant]
    ours = backend == "flax_backend"
    prepare_process(keeps_memory=group == "kept" or ours)
    build(tiny(task, **_TINY[backend]), contestant)(2)
    meter = PeakMeter()
    run = build(task, contestant)
    run(1)
    peak = meter.lap()
    run(count)
    steady = meter.lap() if meter.resets else None
    if task.device == "gpu":
        peak = steady = _on_gpu(is_ours=ours)
    found: dict[str, Any] = {
        "model": task.model,
        "work": task.work,
        "batch_size": task.batch_size,
        "contestant": contestant,
        "peak_bytes": max(peak, steady or 0),
        "steady_bytes": steady,
    }
    if contestant == OURS and task.work == "step":
        found["compiled"] = _compiled_bytes(task)
    return found


def _compiled_bytes(task: Task) -> dict[str, int] | None:
    """Return what XLA says that a training step needs; None where it does not say."""
    from vae_jax.benchmark.runs import Training, matmul_precision

    training = Training(task)
    settings = matmul_precision(task.device, task.precision)
    with settings, contextlib.suppress(AttributeError, NotImplementedError):
        step: Any = training.train_step
        compiled = step.lower(training.state, training.batch, training.key).compile()
        sizes = compiled.memory_analysis()
        names = ("argument", "output", "alias", "temp")
        parts = {name: int(getattr(sizes, f"{name}_size_in_bytes")) for name in names}
        # What is donated is argument and output at once.
        return parts | {"total": sum(parts.values()) - 2 * parts["alias"]}
    return None


def _on_gpu(*, is_ours: bool) -> int:
    if is_ours:
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    import torch

    return int(torch.cuda.max_memory_allocated())


if __name__ == "__main__":
    given, who, times = json.loads(sys.argv[1])
    print(json.dumps(_measure(Task(**given), who, times)))
