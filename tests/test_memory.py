"""Freed memory is kept: no page is asked for anew at each step."""

import os
import subprocess
import sys

import pytest

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
    from vae_jax.memory import keep_freed_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
