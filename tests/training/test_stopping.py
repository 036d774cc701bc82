"""SIGTERM and SIGINT: saved, with a status of its own; and a second SIGINT at once."""

import signal
import subprocess
import sys
import threading

import pytest

from vae_jax.cli import main
from vae_jax.training import loop
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.epoch_runner import Options
from vae_jax.training.stopping import EXIT_STATUS, StoppedError, catching_signals

from . import tiny

# A shell's background job hands down an ignored SIGINT. Nothing is saved as long as a step lasts.
MAIN = """
import signal, sys, threading
import vae_jax.training.epoch_runner as epochs
from vae_jax.cli import main

def endless(*args):
    print("in a step", file=sys.stderr, flush=True)
    threading.Event().wait()

signal.signal(signal.SIGINT, signal.default_int_handler)
epochs.EpochSteps.run = endless
main()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_idx(tmp_path_factory.mktemp("data"))


def arguments(data, out):
    hyper = [f"--hyper={name}={value}" for name, value in tiny.HYPER.items()]
    recipe = ["--data", f"idx:{data}", "--epochs=9", "--batch-size=8"]
    return ["train", "digits_ae", *recipe, *hyper, "--out", str(out)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
    ids=lambda s: s.name,
)
def test_a_signal_ends_a_run_saved_with_a_status_and_a_word_on_how_to_go_on(
    data, tmp_path, number, monkeypatch, capfd
):
    def at_epoch_2(epoch, _):
        if epoch == 2:
            signal.raise_signal(number)

    monkeypatch.setattr("vae_jax.cli.drawing.epoch_figure", lambda *_: at_epoch_2)
    monkeypatch.setattr(sys, "argv", ["vae-jax", *arguments(data, tmp_path / "a run")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == EXIT_STATUS == 75
    errors = capfd.readouterr().err.splitlines()
    _, first, last = [line for line in errors if not line.startswith("epoch")]
    assert first.startswith(f"{number.name}: saving, then stopping")
    assert int(load_run_state(tmp_path / "a run" / "checkpoints").step) == 9
    assert last == (
        f"error: stopped by {number.name}, saved at step 9; go on with --resume: "
        f"vae-jax train digits_ae --resume --out {tmp_path / 'a run'}"
    )


@pytest.mark.slow
def test_a_second_sigint_ends_the_process_at_once(data, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments(data, tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env=tiny.environment(),
    )
    assert process.stderr is not None
    for begin in ("in a step", "SIGINT: saving"):
        while not process.stderr.readline().startswith(begin):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "stopped at once; what was saved before stays\n"


def test_a_run_that_is_asked_to_stop_in_its_last_epoch_s_last_step_just_ends(tmp_path):
    run = tiny.run_of(tmp_path / "run", epochs=1)
    result = loop.train(run, tiny.dataset_of(8), options=Options(stop=lambda: "SIGTERM"))
    assert int(result.state.step) == 1


@pytest.mark.slow
def test_a_run_asked_to_stop_after_an_epoch_has_its_line_and_resumes(tmp_path):
    whole = loop.train(tiny.run_of(tmp_path / "whole"), tiny.dataset_of())
    run = tiny.run_of(tmp_path / "run")
    for resume in (False, True):
        with pytest.raises(StoppedError):
            loop.train(
                run, tiny.dataset_of(), resume=resume, options=Options(stop=lambda: "SIGTERM")
            )
    result = loop.train(
        run, tiny.dataset_of(), resume=True, options=Options(stop=lambda: "SIGTERM")
    )
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
