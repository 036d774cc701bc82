"""Peak memory of a contestant at work, in a process of its own.

On a CPU that is the largest resident set during the work less the one before the model is made,
when the framework has done a tiny model's work and loaded what it loads. The first unit of work
includes the compiler's memory; where the system can tell (Linux), that of the units after it is
measured apart. A contestant whose times are taken with freed memory kept keeps it here. On a GPU it
is the peak that the framework's allocator reports.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from vae_jax.benchmark.tasks import Task
from vae_jax.errors import RunError
from vae_jax.memory import peak_resident, reset_peak, resident, trim

_STEPS = 3
_TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "flax_side": ("digits_ae", {"latent_size": 1, "hidden_size": 1}),
    "torch_side": ("conv_vae", {"image_shape": (8, 8, 1), "widths": (1,)}),
    "paddle_side": ("digits_vae", {"latent_size": 1, "channels": 1}),
    "tensorflow_side": ("stddev_vae", {"latent_size": 1}),
}


def peak_memory(task: Task, contestant: str, *, count: int = _STEPS) -> dict[str, Any]:
    """Measures one contestant in a fresh process.

    Args:
        task: what it does.
        contestant: one of ``vae_jax.benchmark.contestants.CONTESTANTS``.
        count: units of work.

    Returns:
        ``model``, ``work``, ``batch_size``, ``contestant``; ``peak_bytes`` of all the work and
        ``steady_bytes`` of the units after the first (None where that cannot be told); and for
        this package's training step ``compiled``, XLA's own account in bytes.

    Raises:
        RunError: the process failed; the message is the last line of its error.
    """
    asked = json.dumps([dataclasses.asdict(task), contestant, count])
    command = [sys.executable, "-m", "vae_jax.benchmark.memory", asked]
    root = str(Path(__file__).parents[2])  # where the package is, installed or not
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # Preallocated, JAX's share of a GPU would hide what is needed of it.
    extra = {"PYTHONPATH": paths, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | extra)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise RunError(f"{contestant} on {task.model}, batch {task.batch_size}: {reason[:300]}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(task: Task, contestant: str, count: int) -> dict[str, Any]:
    """What ``peak_memory`` returns, of this process."""
    from vae_jax.benchmark.contestants import CONTESTANTS, OURS, build
    from vae_jax.benchmark.processes import prepare_process

    group, side, _ = CONTESTANTS[contestant]
    prepare_process(keeps_memory=group == "kept" or side == "flax_side")
    build(_tiny(task, side), contestant)(2)
    trim()
    reset_peak()
    before = resident()
    run = build(task, contestant)
    run(1)
    peak, steady = peak_resident() - before, None
    trim()
    can_tell = reset_peak()
    run(count)
    if task.device == "gpu":
        peak = steady = _on_gpu(is_ours=side == "flax_side")
    elif can_tell:
        steady = peak_resident() - before
        peak = max(peak, steady)
    found: dict[str, Any] = {
        "model": task.model,
        "work": task.work,
        "batch_size": task.batch_size,
        "contestant": contestant,
        "peak_bytes": peak,
        "steady_bytes": steady,
    }
    if contestant == OURS and task.work == "step":
        from vae_jax.benchmark.flax_side import compiled_bytes

        found["compiled"] = compiled_bytes(task)
    return found


def _tiny(task: Task, side: str) -> Task:
    """The same work of a model as small as the contestant takes, which needs the same libraries."""
    model, hyper = _TINY[side]
    return dataclasses.replace(task, model=model, hyper=hyper, batch_size=2, num_images=2)


def _on_gpu(*, is_ours: bool) -> int:
    if is_ours:
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    import torch

    return int(torch.cuda.max_memory_allocated())


if __name__ == "__main__":
    given, who, times = json.loads(sys.argv[1])
    print(json.dumps(_measure(Task(**given), who, times)))
