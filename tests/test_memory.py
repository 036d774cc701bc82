"""Memory of this process: freed memory is kept, and what it holds is measured."""

import mmap
import os
import subprocess
import sys

import pytest

from vae_jax import memory

COUNT = """
import resource, sys
import numpy as np
from vae_jax.memory import keep_freed_memory
if sys.argv[1] == "kept":
    print(keep_freed_memory())
def fill():
    np.full(2**24, 1.0, np.float32)  # 64 MB
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def lines(how):
    command = [sys.executable, "-c", COUNT, how]
    environment = {k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_given_back_is_there_for_the_next_time():
    taken, faults = lines("kept")
    assert taken == "True"
    assert int(faults) < 100
    assert int(lines("usual")[0]) > 10 * (int(faults) + 10)


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed_memory()


@on_linux
def test_memory_that_is_filled_is_resident_and_its_peak_is_remembered():
    size = 2**25
    assert memory.reset_peak()
    before = memory.resident()
    with mmap.mmap(-1, size) as fresh:  # an array may lie in what was in memory before
        fresh[:: mmap.PAGESIZE] = b"x" * (size // mmap.PAGESIZE)
        assert memory.resident() - before >= 0.9 * size
    assert memory.resident() - before < 0.5 * size
    assert memory.peak_resident() - before >= 0.9 * size
    memory.reset_peak()
    assert memory.peak_resident() - before < 0.5 * size


def test_where_the_system_does_not_report_it_the_peak_of_the_process_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "none")
    assert not memory.reset_peak()
    assert memory.resident() == memory.peak_resident() > 2**20
