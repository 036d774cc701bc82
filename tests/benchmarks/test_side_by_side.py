"""The program, in part with PyTorch in a process of its own; and processes that fail."""

import json
import pickle
import sys

import pytest
import side_by_side
from contest import memory, processes, session
from contest.processes import build_elsewhere, worker_of

from vae_jax.benchmark.roofline import Ceilings
from vae_jax.errors import MissingExtraError, RunError

from .tiny import tiny_task


@pytest.fixture
def program(monkeypatch):
    """Runs the program, with ceilings of nothing measured."""
    monkeypatch.setattr(session, "ceilings_in", lambda _: Ceilings(1e11, {1 << 20: 1e11}))
    monkeypatch.setattr(side_by_side, "keep_freed_memory", lambda: True)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["side_by_side.py", *map(str, arguments)])
        side_by_side.main()

    return run


@pytest.mark.torch
@pytest.mark.slow
def test_what_was_chosen_is_a_table_and_three_files(program, tmp_path, capsys):
    out = tmp_path / "new" / "report"
    program(
        *("digits_ae", "--work=decode", "--batch-size=2", "--batch-size=3", "--rounds=2"),
        *("--hyper=hidden_size=2", "--against=tuned", "--out", out),
    )
    lines = [x for x in capsys.readouterr().out.splitlines() if not x.startswith("other processes")]
    assert lines[0].startswith("float32: products 100 GFLOP/s")
    assert lines[1].split()[:4] == ["model", "work", "batch", "contestant"]
    assert all("digits_ae hidden_size=2" in line for line in lines[2:6])
    assert lines[6] == f"in {out}: benchmark.json, benchmark.md, benchmark.png"
    rows = json.loads((out / "benchmark.json").read_text())["rows"]
    assert [row["batch_size"] for row in rows] == [2, 2, 3, 3]
    assert [row["group"] for row in rows] == ["ours", "tuned"] * 2
    for ours, theirs in (rows[:2], rows[2:]):
        assert ours["ratio_to_ours"] == 1
        assert theirs["ratio_to_ours"] == theirs["median_seconds"] / ours["median_seconds"]
        assert len(theirs["rounds_seconds"]) == 2
        assert theirs["floor_seconds"] == ours["floor_seconds"]


def test_curves_and_memory_come_without_the_usual_works(program, monkeypatch, capsys):
    asked = []
    peak = {"model": "m", "work": "step", "batch_size": 1, "contestant": "c"}
    peak |= {"peak_bytes": 1 << 20, "steady_bytes": None}

    def measure(task, groups, **given):
        asked.append((task.model, task.work, task.batch_size, groups, given["rounds"]))
        return []

    monkeypatch.setattr(session, "measure", measure)
    monkeypatch.setattr(session, "peak_memory", lambda *_: peak)
    program("--scaling=batch", "--rounds=4", "--against=plain")
    assert asked == [("conv_vae", "step", 2**n, ("plain",), 4) for n in range(10)]
    assert "peak" not in capsys.readouterr().out
    asked.clear()
    program("digits_ae", "--memory", "--against=plain")
    assert capsys.readouterr().out.count("m step, batch 1, c: peak 1 MiB") == 2
    assert not asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], "there is no model 'digits'; did you mean digits_ae"),
        (["digits_ae", "--against=paddle"], "nobody of 'paddle' can do any of: digits_ae step"),
        (["digits_ae", "--hyper=widths=2"], "digits_ae has no hyperparameter 'widths'"),
        (["--work=step", "--hyper=latent_size=2"], "--hyper is of one model: name it"),
        (["face_vae", "--scaling=image"], "face_vae takes images of one size"),
        (["digits_ae", "--out=/dev/null/report"], "Not a directory"),
    ],
)
def test_what_cannot_be_asked_is_one_line(program, arguments, message):
    with pytest.raises(SystemExit, match=message) as ended:
        program(*arguments)
    assert str(ended.value).startswith("error: ")
    assert "\n" not in str(ended.value)


def test_a_framework_that_is_missing_is_left_out_unless_it_was_asked_for(
    program, monkeypatch, capsys
):
    class Absent:
        def ask(self, what, *arguments):
            raise MissingExtraError("PyTorch", "torch", "a comparison")

    monkeypatch.setattr(processes, "worker_of", lambda _: Absent())
    monkeypatch.setattr(session, "measure", lambda task, groups, **_: asked.append(groups) or [])
    asked = []
    with pytest.raises(SystemExit, match=r"pip install 'vae-jax\[torch\]'"):
        program("digits_ae", "--work=decode", "--against=tuned")
    program("digits_ae", "--work=decode")
    assert capsys.readouterr().out.count("left out: a comparison needs PyTorch") == 1
    assert len(asked) == 1
    assert not {"tuned", "kept"}.intersection(asked[0])


@pytest.mark.torch
@pytest.mark.slow
def test_a_contestant_works_in_a_process_of_its_own_and_its_errors_come_back():
    task = tiny_task("digits_ae", num_images=2)
    run = build_elsewhere(task, "PyTorch tuned")
    first, last = run(1), run(20)
    assert first is not None
    assert last is not None
    assert last < first
    worker = worker_of("PyTorch tuned, channels last")
    assert worker is worker_of("PyTorch tuned")
    with pytest.raises(RuntimeError, match="KeyError: 'nobody'"):
        worker.ask("build", task, "nobody")
    worker.process.kill()
    worker.process.join()
    with pytest.raises(RuntimeError, match="the process that measures ended with status -9"):
        worker.ask("forget")
    assert not worker.process.is_alive()


def test_a_process_is_shared_by_a_framework_with_the_same_memory(monkeypatch):
    started = []

    class Idle:
        def __init__(self, keeps_memory):
            self.process, self.alive = self, True
            started.append((self, keeps_memory))

        def is_alive(self):
            return self.alive

    monkeypatch.setattr(processes, "_workers", {})
    monkeypatch.setattr(processes, "Worker", Idle)
    assert worker_of("PyTorch tuned") is worker_of("PyTorch compiled")
    worker_of("PyTorch tuned, memory kept")
    assert [keeps_memory for _, keeps_memory in started] == [False, True]
    started[0][0].alive = False
    assert worker_of("PyTorch tuned") is started[2][0]


def test_an_error_of_a_framework_that_is_missing_passes_through_a_pipe():
    missing = MissingExtraError("PyTorch", "torch", "a comparison")
    assert str(pickle.loads(pickle.dumps(missing))) == str(missing)


@pytest.mark.slow
def test_peak_memory_is_measured_in_a_fresh_process():
    task = tiny_task("digits_ae", batch_size=2, num_images=1)
    found = memory.peak_memory(task, "vae_jax", count=1)
    assert (found["model"], found["work"], found["batch_size"]) == ("digits_ae", "step", 2)
    assert 0 <= (found["steady_bytes"] or 0) <= found["peak_bytes"] < 2**32
    assert found["peak_bytes"] > 0
    parts = found["compiled"]
    assert parts["total"] == sum(parts[k] for k in ("argument", "output", "temp")) - parts["alias"]
    assert parts["alias"] > 4 * 3 * 784 * 4  # weights and moments are donated


def test_a_process_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr(memory.sys, "executable", "false")
    with pytest.raises(RunError, match=r"^vae_jax on digits_ae, batch 2: status 1$"):
        memory.peak_memory(tiny_task("digits_ae"), "vae_jax")
