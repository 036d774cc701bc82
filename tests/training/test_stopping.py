"""SIGTERM and SIGINT: saved, with a status of its own; and a second SIGINT at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import jax
import pytest

from vae_jax.training import loop
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.run import is_run
from vae_jax.training.stopping import EXIT_STATUS, StoppedError, catching_signals

from . import tiny

# A shell's background job hands down an ignored SIGINT.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from vae_jax.cli import main
main()
"""
# Nothing is saved as long as this lasts.
SLOW = """
import time
import vae_jax.training.whole_epochs as epochs
run = epochs.EpochSteps.run
epochs.EpochSteps.run = lambda self, *args: (time.sleep(60), run(self, *args))[1]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_idx(tmp_path_factory.mktemp("data"), 200)


def start(data, out, *more, before=""):
    hyper = [f"--hyper={name}={value}" for name, value in tiny.HYPER.items()]
    arguments = ["train", "digits_ae", "--data", f"idx:{data}", "--epochs=100000", *hyper]
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "XLA_FLAGS": "",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", before + MAIN, *arguments, "--out", str(out), *more],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    return process


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
def test_a_signal_ends_a_run_saved_with_a_status_and_a_word_on_how_to_go_on(data, tmp_path, number):
    out = tmp_path / "a run"
    process = start(data, out)
    wait_for(lambda: (out / "checkpoints").is_dir() and any((out / "checkpoints").iterdir()))
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_STATUS == 75
    *_, first, last = [line for line in errors.splitlines() if not line.startswith("epoch")]
    assert first.startswith(f"{number.name}: saving, then stopping")
    step = int(load_run_state(out / "checkpoints").step)
    assert last == (
        f"error: stopped by {number.name}, saved at step {step}; go on with --resume: "
        f"vae-jax train digits_ae --resume --out {out}"
    )


def test_a_second_sigint_ends_the_process_at_once(data, tmp_path):
    out = tmp_path / "run"
    process = start(data, out, before=SLOW)
    wait_for(lambda: is_run(out) and (out / "figures").is_dir())
    process.send_signal(signal.SIGINT)
    assert "SIGINT: saving" in process.stderr.readline()
    time.sleep(0.1)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert "stopped at once" in errors


def test_a_run_that_is_asked_to_stop_in_its_last_epoch_s_last_step_just_ends(tmp_path):
    run = tiny.run_of(tmp_path / "run", epochs=1)
    result = loop.train(run, tiny.dataset_of(8), stop=lambda: "SIGTERM")
    assert int(result.state.step) == 1


def test_a_run_asked_to_stop_after_an_epoch_has_its_line_and_resumes(tmp_path):
    whole = loop.train(tiny.run_of(tmp_path / "whole"), tiny.dataset_of())
    run = tiny.run_of(tmp_path / "run")
    stops = 0
    for _ in range(9):
        try:
            result = loop.train(run, tiny.dataset_of(), stop=lambda: "SIGTERM", resume=stops > 0)
            break
        except StoppedError:
            stops += 1
    assert stops == 2
    assert tiny.bits(result.state) == tiny.bits(whole.state)
    assert tiny.without_seconds(result.epochs) == tiny.without_seconds(whole.epochs)


def test_handlers_are_put_back_and_other_threads_have_none():
    before = signal.getsignal(signal.SIGTERM)
    with catching_signals() as stop:
        assert signal.getsignal(signal.SIGTERM) is not before
        assert stop() is None
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop() == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before
    found = []

    def elsewhere():
        with catching_signals() as stop:
            found.append(stop())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [None]
