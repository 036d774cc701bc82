"""SIGKILL, for real: the command is killed while it trains, and resumed from the command line."""

import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from vae_jax.cli import main
from vae_jax.training.metrics import read_metrics
from vae_jax.training.run import open_run
from vae_jax.training.saving import Checkpoints

from . import tiny

# Kills its own process at the Nth time that the loop calls a function; nothing is cleaned up.
KILL_AT = """
import os, signal, sys
import dataclasses
import vae_jax.training.epoch_runner as epochs
import vae_jax.training.loop as loop
from vae_jax.training.saving import Checkpoints

def kill_at(function, count):
    left = [count]
    def killed(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return killed

what, count = sys.argv.pop(1), int(sys.argv.pop(1))
if what == "step":
    init = loop.EpochRunner.__init__
    def one_by_one(self, *args):
        *args, options = args
        init(self, *args, dataclasses.replace(options, first_call=1, longest_call=1))
    loop.EpochRunner.__init__ = one_by_one
    epochs.EpochSteps.run = kill_at(epochs.EpochSteps.run, count)
else:
    Checkpoints.save = kill_at(Checkpoints.save, count)
from vae_jax.cli import main
main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_idx(tmp_path_factory.mktemp("data") / "Zäh len")


def arguments(data, out):
    hyper = [f"--hyper={name}={value}" for name, value in tiny.HYPER.items()]
    recipe = ["--data", f"idx:{data}", "--epochs=3", "--batch-size=4", "--learning-rate=0.01"]
    return ["train", "digits_ae", *recipe, *hyper, "--checkpoint-every=2", "--out", str(out)]


def command(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["vae-jax", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def outcome(path):
    run = open_run(path)
    manager = Checkpoints(run.checkpoints)._manager
    step = manager.latest_step()
    manager.close()
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        state = checkpointer.restore(run.checkpoints / str(step) / "default")
    epochs = [record for record in read_metrics(run) if "epoch" in record]
    state = jax.tree.map(np.asarray, state)
    return tiny.bits(state), tiny.without_seconds(epochs)


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_JAX_CACHE", str(tmp_path_factory.getbasetemp() / "vae_jax_cache"))
        command(patch, arguments(data, out))
    return outcome(out)


# Within epoch 2, while the checkpoint of its step 2 is perhaps still being written; and at the
# end of epoch 2, between its line in metrics.jsonl and its checkpoint.
@pytest.mark.slow
@pytest.mark.parametrize(("what", "count"), [("step", 6 + 3), ("save", 6)])
def test_a_killed_run_resumes_to_the_same_bits(
    data, uninterrupted, tmp_path, monkeypatch, what, count
):
    out = tmp_path / "a run"
    killed = subprocess.run(
        [sys.executable, "-c", KILL_AT, what, str(count), *arguments(data, out)],
        capture_output=True,
        env=tiny.environment(),
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert 1 <= len([r for r in read_metrics(open_run(out)) if "epoch" in r]) < 3
    command(monkeypatch, [*arguments(data, out), "--resume"])
    assert outcome(out) == uninterrupted
    assert [p.name for p in sorted((out / "figures").iterdir())] == [
        f"epoch_{epoch:03d}.png" for epoch in range(4)
    ]
