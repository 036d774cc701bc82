"""``vae-jax benchmark``: a table, or JSON; and errors of one line."""

import json

import pytest
from drawn_weights import drawn_variables

from vae_jax.benchmark import runs, timing
from vae_jax.benchmark.roofline import Ceilings, Cost
from vae_jax.benchmark.timing import Memory, Row, Times

SMALL = ("--hyper=hidden_size=2", "--batch-size=2", "--rounds=2")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Ceilings of nothing measured, and weights that no initialiser is compiled for."""
    monkeypatch.setattr(runs, "init_variables", drawn_variables)
    monkeypatch.setattr(runs, "measure_ceilings", lambda: Ceilings(1e11, {1 << 20: 1e11}))


def test_a_table_has_a_line_for_each_work(succeed, monkeypatch):
    asked = []

    def measure(task, ceilings, rounds):
        asked.append((task.work, task.batch_size, rounds))
        times = Times(1.0, 4, (1e-3, 2e-3, 4e-3))
        row = Row(task=task, times=times, cost=Cost(task.images, 5e7, 1e7, 1e7), floor=5e-4)
        return row, Memory(3 << 20, None if task.work == "epoch" else 2 << 20)

    monkeypatch.setattr(timing, "measure", measure)
    small = ("--hyper=latent_size=2", "--batch-size=8", "--images=1000")
    out = succeed("benchmark", "digits_ae", *small, "--work=decode", "--work=epoch").out
    assert asked == [("decode", 8, 15), ("epoch", 8, 5)]
    ceilings, titles, *lines = out.splitlines()
    assert ceilings.startswith("digits_ae, float32: products 100 GFLOP/s")
    assert titles.split()[:4] == ["work", "batch", "median", "ms"]
    assert [" ".join(line.split()) for line in lines] == [
        "decode 8 2.000 1.500 to 3.000 4,000 25.0 5.0 25 % 3 2",
        "epoch 1,000 8 2.000 1.500 to 3.000 500,000 25.0 5.0 25 % 3",
    ]
    assert lines[0].index(" %") + 2 == titles.index("of floor") + len("of floor")


@pytest.mark.slow
def test_json_has_every_figure_and_what_it_depends_on(succeed):
    out = succeed("benchmark", "digits_ae", *SMALL, "--work=decode", "--json").out
    found = json.loads(out)
    assert found.keys() == {"environment", "ceilings", "rows"}
    assert found["ceilings"]["gflop_per_second"] == 100
    (row,) = found["rows"]
    assert (row["work"], row["images"], row["batch_size"]) == ("decode", 2, 2)
    assert row["hyper"] == {"hidden_size": 2}
    assert len(row["rounds_seconds"]) == 2
    assert row["peak_bytes"] >= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits"], "there is no model 'digits'; did you mean digits_ae"),
        (["digits_ae", "--work=train"], "'train' is not one of 'step', 'epoch'"),
        (["digits_ae", "--precision=tf32"], "tf32 needs a GPU and this is a CPU"),
        (["digits_ae", "--hyper=widths=2"], "digits_ae has no hyperparameter 'widths'"),
        (["digits_ae", "--rounds=0"], "0 is not in the range x>=1"),
    ],
)
def test_what_cannot_be_asked_is_one_line(cli, arguments, message):
    assert message in cli("benchmark", *arguments).error
