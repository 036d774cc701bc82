"""What may happen to a run's folder: each fault has one line, and nothing saved is lost."""

import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from vae_jax.errors import RunError
from vae_jax.models import create_model, init_variables
from vae_jax.training import lock, loop
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.epoch_runner import Options
from vae_jax.training.metadata import CheckpointMetadata, read_metadata, with_checksum
from vae_jax.training.saving import Checkpoints
from vae_jax.training.stopping import StoppedError

from . import tiny
from .test_checkpoint import DAMAGES

HOLD = """
import sys
from pathlib import Path
from vae_jax.training.lock import only_one
with only_one(Path(sys.argv[1])) as sign:
    sign()
    print("held", flush=True)
    sys.stdin.read()
"""

# TensorStore, after an error, calls an event loop that Orbax has closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return loop.train(tiny.run_of(tmp_path_factory.mktemp("whole") / "run"), tiny.dataset_of())


@pytest.fixture
def at_once(monkeypatch):
    """Each checkpoint is whole before the run goes on."""
    save = Checkpoints.save

    def save_and_wait(self, *args, **kwargs):
        save(self, *args, **kwargs)
        assert self.latest_step is not None

    monkeypatch.setattr(Checkpoints, "save", save_and_wait)


def assert_same(result, expected):
    assert tiny.bits(result.state) == tiny.bits(expected.state)
    assert tiny.without_seconds(result.epochs) == tiny.without_seconds(expected.epochs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "every"), [("one bit", 2), tiny.slow("truncated", None), tiny.slow("gone", None)]
)
def test_a_resume_falls_back_to_the_checkpoint_before_a_damaged_one_and_says_so(
    tmp_path, damage, every, uninterrupted, capsys
):
    run = tiny.run_of(tmp_path / "run", epochs=2)
    loop.train(run, tiny.dataset_of(), options=Options(checkpoint_every=every))
    *_, before, last = sorted(int(p.name) for p in run.checkpoints.iterdir())
    DAMAGES[damage](run.checkpoints / str(last))
    more = tiny.run_of(tmp_path / "run", epochs=3)
    capsys.readouterr()
    assert_same(loop.train(more, tiny.dataset_of(), resume=True), uninterrupted)
    line, *_ = capsys.readouterr().err.splitlines()
    assert f"checkpoint {last} is damaged" in line
    assert line.endswith(f"going on from checkpoint {before}")
    assert (run.checkpoints / f"damaged-{last}-1").is_dir()
    assert int(load_run_state(run.checkpoints).step) == 9


@pytest.mark.slow
def test_a_run_whose_checkpoints_are_all_damaged_is_an_error_that_says_so(tmp_path):
    run = tiny.run_of(tmp_path / "run", epochs=2)
    loop.train(run, tiny.dataset_of())
    for folder in list(run.checkpoints.iterdir()):
        DAMAGES["one bit"](folder)
    with pytest.raises(RunError, match=r"cannot be resumed from: checkpoint 6 .*; checkpoint 3 "):
        loop.train(tiny.run_of(tmp_path / "run"), tiny.dataset_of(), resume=True)
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["3", "6"]


@pytest.mark.usefixtures("at_once")
def test_a_checkpoint_folder_that_vanishes_is_made_again(tmp_path, uninterrupted, capsys):
    run = tiny.run_of(tmp_path / "run")

    def vanish(epoch, _):
        if epoch == 2:
            shutil.rmtree(run.checkpoints)

    result = loop.train(run, tiny.dataset_of(), on_epoch=vanish)
    assert_same(result, uninterrupted)
    line = f"{run.checkpoints}: the folder has vanished; writing step 9 anew"
    assert line in capsys.readouterr().err
    assert int(load_run_state(run.checkpoints).step) == 9


@pytest.mark.usefixtures("at_once")
def test_a_run_folder_that_vanishes_ends_the_run_in_one_line(tmp_path):
    run = tiny.run_of(tmp_path / "run")

    def vanish(epoch, _):
        if epoch == 2:
            shutil.rmtree(run.path)

    with pytest.raises(RunError, match=r"metrics\.jsonl cannot be written") as caught:
        loop.train(run, tiny.dataset_of(), on_epoch=vanish)
    assert "\n" not in str(caught.value)


def test_a_full_disk_ends_the_run_and_names_the_last_whole_checkpoint(
    tmp_path, monkeypatch, uninterrupted
):
    run, save = tiny.run_of(tmp_path / "run"), Checkpoints._write

    def full(self, step, *rest):
        if step > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_write", full)
        with pytest.raises(RunError, match="No space left on device") as caught:
            loop.train(run, tiny.dataset_of())
    assert "the last whole one is of step 3" in str(caught.value)
    assert_same(loop.train(run, tiny.dataset_of(), resume=True), uninterrupted)


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_background_is_told_of_too(tmp_path):
    """For real: the process may write no file of more than a few kB."""
    data = tiny.write_idx(tmp_path / "data")
    arguments = ["train", "digits_ae", "--data", f"idx:{data}", "--epochs=3", "--batch-size=8"]
    limited = (
        "import resource, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from vae_jax.cli.options import setup_jax; setup_jax();"
        "import jax; jax.config.update('jax_enable_compilation_cache', False);"
        "import matplotlib.pyplot;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "from vae_jax.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", limited, *arguments, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
    )
    *_, line = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert line.startswith(f"error: a checkpoint cannot be written to {tmp_path / 'run'}")
    assert "File too large" in line


@pytest.mark.slow
def test_a_second_process_in_a_folder_is_refused_and_told_by_whom(tmp_path):
    run = tiny.run_of(tmp_path / "run", epochs=1)
    loop.train(run, tiny.dataset_of())
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"is being trained by process {holder.pid} on "):
            loop.train(tiny.run_of(tmp_path / "run"), tiny.dataset_of(), resume=True)
    finally:
        holder.kill()
        holder.communicate()
    loop.train(tiny.run_of(tmp_path / "run"), tiny.dataset_of(), resume=True)


def _first(text, before, after):
    assert before in text
    return text.replace(before, after, 1)


@pytest.mark.slow
def test_a_damaged_description_is_noticed_as_damaged_arrays_are(tmp_path, uninterrupted, capsys):
    """Of a checkpoint within an epoch: with the sums so far."""
    run, calls = tiny.run_of(tmp_path / "run"), iter([None, "SIGTERM", "SIGTERM"])
    with pytest.raises(StoppedError):
        loop.train(
            run, tiny.dataset_of(), options=Options(checkpoint_every=2, stop=lambda: next(calls))
        )
    *_, last = sorted(int(p.name) for p in run.checkpoints.iterdir())
    file = run.checkpoints / str(last) / "_CHECKPOINT_METADATA"
    file.write_text(re.sub(r'("loss": )[0-9]', r"\g<1>0", text := file.read_text()))
    assert file.read_text() != text
    capsys.readouterr()
    assert_same(loop.train(run, tiny.dataset_of(), resume=True), uninterrupted)
    line, *_ = capsys.readouterr().err.splitlines()
    assert f"checkpoint {last} is damaged (its _CHECKPOINT_METADATA " in line
    assert line.endswith("it is put aside")


def test_a_description_that_is_not_what_was_saved_is_an_error(tmp_path):
    file, saved = (
        tmp_path / "_CHECKPOINT_METADATA",
        CheckpointMetadata(digest={"a": 5}, loss=2.5, totals={}),
    )
    file.write_text(whole := json.dumps({"custom_metadata": with_checksum(saved)}))
    assert read_metadata(tmp_path) == saved
    for text in (whole[:30], "[]", _first(whole, "2.5", "2.6"), _first(whole, "digest", "digess")):
        file.write_text(text)
        with pytest.raises(ValueError, match="its _CHECKPOINT_METADATA "):
            read_metadata(tmp_path)
    file.unlink()
    with pytest.raises(ValueError, match="cannot be read: FileNotFoundError"):
        read_metadata(tmp_path)


def test_a_run_that_lost_its_first_weights_does_not_begin_again_with_others(tmp_path):
    run = dataclasses.replace(tiny.run_of(tmp_path / "run", epochs=1), init="trained.pt")
    variables = init_variables(create_model("digits_ae", **tiny.HYPER), jax.random.key(5))
    loop.train(run, tiny.dataset_of(), variables=jax.tree.map(np.array, variables))
    shutil.rmtree(run.checkpoints)
    run.metrics.unlink()
    with pytest.raises(RunError, match=r"its first weights were those of trained\.pt"):
        loop.train(tiny.run_of(tmp_path / "run"), tiny.dataset_of(), resume=True)


def test_a_run_killed_before_its_first_checkpoint_is_whole_begins_again(tmp_path, uninterrupted):
    run = tiny.run_of(tmp_path / "run")
    loop.train(tiny.run_of(tmp_path / "run", epochs=2), tiny.dataset_of())
    shutil.rmtree(run.checkpoints)
    assert_same(loop.train(run, tiny.dataset_of(), resume=True), uninterrupted)


def test_a_run_that_lost_its_checkpoints_keeps_its_metrics(tmp_path):
    run = tiny.run_of(tmp_path / "run")
    loop.train(run, tiny.dataset_of())
    before = run.metrics.read_bytes()
    shutil.rmtree(run.checkpoints)
    with pytest.raises(RunError, match=r"metrics\.jsonl records epochs"):
        loop.train(tiny.run_of(tmp_path / "run"), tiny.dataset_of(), resume=True)
    assert run.metrics.read_bytes() == before


def test_a_damaged_line_of_metrics_is_told_and_kept(tmp_path, uninterrupted, capsys):
    run = tiny.run_of(tmp_path / "run", epochs=2)
    loop.train(run, tiny.dataset_of())
    damaged = _first(run.metrics.read_text(), '"step"', '"stop"')
    run.metrics.write_text(damaged)
    capsys.readouterr()
    result = loop.train(tiny.run_of(tmp_path / "run"), tiny.dataset_of(), resume=True)
    assert tiny.bits(result.state) == tiny.bits(uninterrupted.state)
    assert [record["epoch"] for record in result.epochs] == [2, 3]
    assert "lacks the record of epoch 1: going on without" in capsys.readouterr().err
    assert (run.path / "damaged-metrics.jsonl").read_text() == damaged


def test_the_best_epochs_stay_beside_the_last_and_after_a_resume(tmp_path, monkeypatch):
    losses = {3: 2.0, 6: 5.0, 9: 1.0, 12: 4.0}
    save = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints,
        "save",
        lambda self, state, loss: save(self, state, loss=losses[int(state.step)]),
    )
    for epochs, kept in ((2, [3, 6]), (4, [3, 9, 12])):
        run = tiny.run_of(tmp_path / "run", epochs=epochs)
        loop.train(run, tiny.dataset_of(), resume=epochs == 4, options=Options(keep=1, keep_best=2))
        assert sorted(int(p.name) for p in run.checkpoints.iterdir()) == kept


def test_minutes_make_checkpoints_too(tmp_path, uninterrupted):
    run = tiny.run_of(tmp_path / "run")
    options = Options(checkpoint_minutes=1e-9, keep=99, first_call=1, longest_call=1)
    result = loop.train(run, tiny.dataset_of(), options=options)
    assert sorted(int(p.name) for p in run.checkpoints.iterdir()) == list(range(1, 10))
    assert_same(result, uninterrupted)


def test_a_run_folder_on_a_system_without_locks_still_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    run = tiny.run_of(tmp_path / "run", epochs=1)
    assert int(loop.train(run, tiny.dataset_of()).state.step) == 3
    assert not Path(run.path / ".lock").exists()
