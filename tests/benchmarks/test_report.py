"""Rows as JSON, a table, Markdown and a figure, and curves."""

import dataclasses
import importlib.metadata
import io
import json
import math

import numpy as np
import pytest
from contest import curves, neighbours
from contest.figure import benchmark_figure
from contest.report import ContestRow, Report, best_ratio, machine
from contest.tables import header, lines_of, markdown, memory_line, write_report
from matplotlib.patches import Rectangle

from vae_jax.benchmark.roofline import Ceilings, Cost
from vae_jax.benchmark.tasks import make_task
from vae_jax.benchmark.timing import Times
from vae_jax.errors import UserError

CEILINGS = Ceilings(1e11, {1 << 20: 1e11, 1 << 28: 5e10})
PEAK = {
    **{"model": "digits_ae", "work": "step", "batch_size": 32, "contestant": "vae_jax"},
    **{"peak_bytes": 3 << 20, "steady_bytes": 2 << 20, "compiled": {"total": 1 << 20}},
}


def row(contestant, group, seconds, ratio, model="digits_ae", **given):
    times = Times(1.0, 4, (seconds, seconds, 1.2 * seconds))
    cost = Cost(32, 5e7, 1e7, 5e6)
    return ContestRow(
        task=make_task(model, **given),
        times=times,
        cost=cost,
        floor=5e-4,
        contestant=contestant,
        group=group,
        ratio=ratio,
    )


ROWS = [
    row("vae_jax", "ours", 1e-3, 1.0),
    row("PyTorch tuned", "tuned", 2e-3, 2.0),
    row("PyTorch tuned, channels last", "tuned", 1.5e-3, 1.5),
    row("vae_jax", "ours", 0.25, 1.0, work="epoch", num_images=1000),
    row("PyTorch as written", "written", 2.5, 10.0, work="epoch", num_images=1000),
]


def test_a_row_has_every_figure_with_its_unit():
    found = ROWS[1].as_dict()
    assert found["contestant"] == "PyTorch tuned"
    assert found["median_seconds"] == 2e-3
    assert found["quartiles_seconds"] == pytest.approx([2e-3, 2.2e-3])
    assert found["images_per_second"] == 16_000
    assert found["gflop_per_second"] == pytest.approx(25)
    assert found["gigabytes_per_second"] == pytest.approx(5)
    assert found["floor_share"] == pytest.approx(0.25)
    assert found["ratio_to_ours"] == 2.0
    assert found["first_call_seconds"] == 1.0


def test_the_ratio_of_a_group_is_that_of_its_quickest():
    assert best_ratio(ROWS, "tuned") == 1.5
    assert best_ratio(ROWS, "paddle") is None


def test_the_table_is_aligned():
    lines = [header(), *lines_of(ROWS).splitlines()]
    for title, cells in {
        "x ours": ["1.00", "2.00", "1.50", "1.00", "10.00"],
        "of floor": ["50 %", "25 %", "33 %", "0 %", "0 %"],
    }.items():
        end = lines[0].index(title) + len(title)
        assert [text[end - len(title) : end].strip() for text in lines[1:]] == cells
    assert lines[4].split()[:4] == ["digits_ae", "epoch", "32", "32"]  # images, and the batch


def test_a_busy_machine_is_told():
    busy = dataclasses.replace(ROWS[0], others=0.31)
    warning = "other processes used up to 31 % of the machine meanwhile"
    assert warning in lines_of([ROWS[1], busy]).splitlines()[2]
    assert warning in markdown(Report([busy], {}))
    assert len(lines_of([dataclasses.replace(busy, others=0.01)]).splitlines()) == 1


def test_the_neighbours_part_of_the_machine_is_measured(monkeypatch):
    ticks = iter((100.0, 104.0))
    clock, cores = iter((50.0, 53.0)), 2
    monkeypatch.setattr(neighbours, "_busy", lambda: next(ticks))
    monkeypatch.setattr(neighbours.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(neighbours.os, "cpu_count", lambda: cores)
    used = iter((10.0, 11.0))
    monkeypatch.setattr(neighbours.time, "process_time", lambda: next(used))
    assert neighbours.Neighbours().share() == (4 - 1) / (3 * cores)


def test_where_the_system_does_not_tell_there_are_no_neighbours(monkeypatch):
    monkeypatch.setattr(neighbours, "_busy", lambda: None)
    assert neighbours.Neighbours().share() is None


def test_the_report_is_three_files(tmp_path):
    along = {"batch": [ROWS[0], row("vae_jax", "ours", 2e-3, 1.0, batch_size=64)]}
    broken = row("PyTorch compiled", "compiled", math.nan, math.nan)
    report = Report([*ROWS, broken], {"float32": CEILINGS}, [PEAK], along)
    folder = tmp_path / "new"
    files = write_report(folder, report)
    assert files == ["benchmark.json", "benchmark.md", "benchmark.png"]
    found = json.loads(
        (folder / "benchmark.json").read_text(), parse_constant=lambda name: pytest.fail(name)
    )
    assert len(found["rows"]) == 6
    assert found["rows"][-1]["median_seconds"] is None
    assert found["memory"] == [PEAK]
    assert [r["batch_size"] for r in found["curves"]["batch"]] == [32, 64]
    assert found["ceilings"]["float32"]["gflop_per_second"] == 100
    assert {"cores", "cpu", "versions", "backend", "git_revision"} <= found["environment"].keys()
    assert found["environment"]["cores"] >= 1
    text = markdown(report)
    assert (folder / "benchmark.md").read_text() == text
    assert "| digits_ae | step | 32 | PyTorch tuned, channels last | 1.500 |" in text
    assert "products 100 GFLOP/s" in text
    assert (folder / "benchmark.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.torch
def test_a_report_names_the_versions_of_the_other_frameworks():
    assert machine()["versions"]["torch"] == importlib.metadata.version("torch")


def test_a_peak_is_a_line():
    assert memory_line(PEAK) == (
        "digits_ae step, batch 32, vae_jax: "
        "peak 3 MiB, after the first call 2 MiB, by XLA's account 1 MiB"
    )


def test_the_figure_has_bars_the_floor_and_a_panel_for_each_curve():
    curve = [row("vae_jax", "ours", 1e-3 * n, 1.0, batch_size=n) for n in (4, 1, 2)]
    curve += [row("PyTorch tuned", "tuned", 2e-3 * n, 2.0, batch_size=n) for n in (1, 2, 4)]
    figure = benchmark_figure(ROWS, {"batch": curve})
    figure.savefig(io.BytesIO(), format="png")
    bars, along = figure.axes
    widths = [bar.get_width() for bar in bars.patches if isinstance(bar, Rectangle)]
    assert widths == pytest.approx([1.0, 0.5, 9.0])
    assert bars.get_xscale() == along.get_xscale() == along.get_yscale() == "log"
    floor = next(line for line in bars.lines if line.get_label() == "the machine's floor")
    np.testing.assert_allclose(np.asarray(floor.get_xdata()), [0.5, 0.002])
    ours, its_floor, theirs = along.lines
    assert np.asarray(ours.get_xdata()).tolist() == [1, 2, 4]
    np.testing.assert_allclose(np.asarray(theirs.get_ydata()), [2, 4, 8])
    np.testing.assert_allclose(np.asarray(its_floor.get_ydata()), [0.5] * 3)
    assert [line.get_label() for line in (ours, theirs)] == ["vae_jax", "PyTorch tuned"]
    assert len(benchmark_figure([], {"batch": curve}).axes) == 1


def test_a_curve_is_a_task_a_size():
    for axis, key in (("batch", "batch_size"), ("images", "num_images")):
        tasks = curves.tasks_along(axis, "digits_ae", (2, 8))
        assert [getattr(task, key) for task in tasks] == [2, 8]
        assert {task.work for task in tasks} == {"epoch" if axis == "images" else "step"}
    latent = curves.tasks_along("latent", sizes=(3,), batch_size=4)[0]
    assert (latent.module.latent_size, latent.batch_size) == (3, 4)
    image = curves.tasks_along("image", sizes=(8, 16))
    assert [task.module.image_shape for task in image] == [(8, 8, 1), (16, 16, 1)]
    assert [len(curves.tasks_along(axis)) for axis in curves.AXES] == [10, 5, 4, 5]
    with pytest.raises(UserError, match="digits_ae takes images of one size"):
        curves.tasks_along("image", "digits_ae")
    with pytest.raises(UserError, match="no axis 'depth'; expected one of batch"):
        curves.tasks_along("depth")


def test_how_straight_a_curve_is():
    sizes = [1, 10, 100, 1000]
    a, b, off = curves.straightness(sizes, [3 + 2 * n for n in sizes])
    assert (a, b) == pytest.approx((3, 2))
    assert off < 1e-9
    assert curves.straightness(sizes, [n**1.5 for n in sizes])[2] > 0.3


@pytest.mark.parametrize(("spinning", "sleeps"), [(0, 1), (3, 4), (99, 10)])
def test_a_rest_waits_for_threads_that_spin_but_not_forever(spinning, sleeps):
    slept, used = [], 0.0

    def sleep(seconds):
        nonlocal used
        slept.append(seconds)
        used += seconds if len(slept) <= spinning else 0.0

    neighbours.settle(0.1, 1.0, sleep=sleep, busy=lambda: used)
    assert len(slept) == sleeps
