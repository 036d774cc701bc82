"""``vae-jax benchmark``: a table, JSON and a folder; and errors of one line."""

import json

import pytest

SMALL = ("--hyper=image_shape=6x8x1", "--hyper=widths=2", "--batch=2", "--rounds=1")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Ceilings of nothing measured."""
    from vae_jax.benchmark import contest
    from vae_jax.benchmark.ceilings import Ceilings

    found = Ceilings(1e11, {1 << 20: 1e11})
    monkeypatch.setattr(contest, "measure_ceilings", lambda: found)


def table(found):
    """The printed lines, without the warning that other tests were running."""
    return [text for text in found.out.splitlines() if not text.startswith("other processes")]


def test_a_table_and_three_files(succeed, tmp_path):
    out = tmp_path / "new" / "report"
    found = succeed(
        "benchmark", "conv_vae", "--work=encode", *SMALL, "--against=tuned", "--out", out
    )
    lines = table(found)
    assert lines[0].startswith("float32: products 100 GFLOP/s")
    assert lines[1].split()[:4] == ["model", "work", "batch", "contestant"]
    rows = [text.split("  ") for text in lines[2:]]
    assert len(rows) == 3
    assert all("conv_vae image_shape=6,8,1 widths=2" in row[0] for row in rows)
    assert f"in {out}: benchmark.json, benchmark.md, benchmark.png" in found.err
    assert len(json.loads((out / "benchmark.json").read_text())["rows"]) == 3


def test_json_alone_is_printed_when_asked(succeed):
    out = succeed(
        *("benchmark", "digits_ae", "--work=step", "--batch=2", "--batch=3", "--rounds=2"),
        *("--against=written", "--hyper=hidden_size=2", "--json"),
    ).out
    found = json.loads(out)
    assert [row["batch_size"] for row in found["rows"]] == [2, 2, 3, 3]
    assert [row["group"] for row in found["rows"]] == ["ours", "written"] * 2
    assert all(len(row["rounds_seconds"]) == 2 for row in found["rows"])
    assert found["rows"][0]["hyper"] == {"hidden_size": 2}


def test_curves_and_memory_come_without_the_usual_works(succeed, monkeypatch):
    from vae_jax.benchmark import contest, memory

    asked = []

    def measure(task, groups, rounds, ceilings):
        asked.append((task.model, task.work, task.batch_size, rounds))
        return []

    peak = {"model": "m", "work": "step", "batch_size": 1, "contestant": "c"}
    monkeypatch.setattr(contest, "measure", measure)
    monkeypatch.setattr(
        memory, "peak_memory", lambda *_: peak | {"peak_bytes": 1 << 20, "steady_bytes": None}
    )
    out = succeed("benchmark", "--scaling=batch", "--rounds=4").out
    assert asked == [("conv_vae", "step", 2**n, 4) for n in range(10)]
    assert "peak" not in out
    asked.clear()
    assert "m step, batch 1, c: peak 1 MiB" in succeed("benchmark", "digits_ae", "--memory").out
    assert not asked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], "there is no model 'digits'; the models are digits_ae"),
        (["digits_ae", "--work=train"], "'train' is not one of 'step', 'epoch'"),
        (["digits_ae", "--precision=tf32"], "tf32 is a GPU's and this is a CPU"),
        (["digits_ae", "--against=paddle"], "nobody of 'paddle' can do any of: digits_ae step"),
        (["digits_ae", "--hyper=widths=2"], "digits_ae has no hyperparameter 'widths'"),
        (["--hyper=latent_size=2"], "--hyper is of one model: name it"),
        (["face_vae", "--scaling=image"], "face_vae takes images of one size"),
        (["digits_ae", "--out=/dev/null/report"], "/dev/null/report cannot be made a folder"),
    ],
)
def test_what_cannot_be_asked_is_one_line(cli, arguments, message):
    assert message in cli("benchmark", *arguments).error


def test_a_framework_that_is_not_installed(cli, succeed, monkeypatch):
    from vae_jax.benchmark import processes
    from vae_jax.errors import MissingExtraError

    class Absent:
        def ask(self, what, *arguments):
            raise MissingExtraError("PyTorch", "torch", "a comparison")

    monkeypatch.setattr(processes, "worker_of", lambda _: Absent())
    given = ("benchmark", "digits_ae", "--work=decode", "--batch=2", "--rounds=1")
    assert "pip install 'vae-jax[torch]'" in cli(*given, "--against=tuned").error
    found = succeed(*given)
    assert "left out: a comparison needs PyTorch" in found.err
    assert found.err.count("left out") == 1
    assert [text.split()[:2] for text in table(found)[2:]] == [["digits_ae", "decode"]]
