"""Peak memory, measured in a process of its own."""

import pytest

from vae_jax.benchmark import memory
from vae_jax.errors import RunError

from .tiny import tiny_task


def test_a_fresh_process_says_what_its_work_took():
    task = tiny_task("digits_ae", batch_size=2, num_images=1)
    found = memory.peak_memory(task, "vae_jax", count=1)
    assert (found["model"], found["work"], found["batch_size"]) == ("digits_ae", "step", 2)
    assert 0 < found["peak_bytes"] < 2**32
    assert found["steady_bytes"] is None or found["steady_bytes"] <= found["peak_bytes"]
    parts = found["compiled"]
    assert parts["total"] == sum(parts[k] for k in ("argument", "output", "temp")) - parts["alias"]
    assert parts["alias"] > 4 * 3 * 784 * 4  # weights and moments are donated


def test_a_process_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr(memory.sys, "executable", "false")
    with pytest.raises(RunError, match=r"^vae_jax on digits_ae, batch 2: status 1$"):
        memory.peak_memory(tiny_task("digits_ae"), "vae_jax")
