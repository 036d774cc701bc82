"""Reports as text and files: the verdict on top, the worst of each stage, no number lost."""

import json
import math

import jax
import pytest
from PIL import Image

from vae_jax.parity.layers import INPUT
from vae_jax.parity.report import Report
from vae_jax.parity.stages import Stage
from vae_jax.parity.tables import markdown, summary, table, verdict, write_reports

from .rows import double, exact, judged, single


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def test_the_verdict_is_one_line_that_says_where_it_diverges_first():
    assert verdict(double()) == "agrees: 16 comparisons within tolerance"
    assert verdict(Report("title", ())) == "EMPTY"
    line = verdict(double("conv2" + INPUT))
    assert line.startswith("DIVERGES first in activations: between conv1 and conv2 (relative error")
    assert "0.001, tolerance 1e-12" in line
    assert "1 of 16 over tolerance" in line
    line = verdict(Report("title", (judged(Stage.GRADIENTS, "w", 4.0),)))
    assert "(K 4, tolerance 3; 1 of 1 over tolerance)" in line


def test_the_table_has_a_line_a_stage_with_its_worst_tensor():
    lines = table(double("conv2")).splitlines()
    assert lines[0] == "tiny: in float64"
    assert lines[1].strip() == verdict(double("conv2"))
    assert f"JAX {jax.__version__} on " in lines[2]
    assert lines[3].split() == [
        *("stage", "tensors", "max", "abs", "relative", "ULPs", "tolerance", "worst", "tensor")
    ]
    stages = [line for line in lines[4:] if not line.startswith("  note")]
    assert len(stages) == len(double().stages())
    (activations,) = [line for line in stages if line.split()[0] == "activations"]
    assert activations.split()[1:3] == ["6", "1.0e-03"]
    assert activations.split()[-2:] == ["BROKEN", "conv2"]
    assert lines[-1] == "  note: a note"
    assert "BROKEN" not in table(double())


def test_below_float64_the_table_shows_k_and_what_is_not_judged():
    lines = table(single()).splitlines()
    assert "reference's rms" in lines[3]
    (gradients,) = [line for line in lines if line.split()[0] == "gradients"]
    assert gradients.split()[-6:] == ["2.8e-07", "1.60", "2.80", "3", "ok", "v"]
    (losses,) = [line for line in lines if line.split()[0] == "losses"]
    assert "not judged" in losses
    assert "BROKEN" not in "\n".join(lines)


def test_nan_is_marked_even_where_nothing_is_judged():
    broken = Report("title", (judged(Stage.LOSSES, "loss", math.nan, math.inf),))
    assert table(broken).splitlines()[-1].split()[-2:] == ["BROKEN", "loss"]


def test_the_summary_has_the_worst_of_each_stage_and_keeps_zero_gradient_tensors_apart():
    head, line, other, medians, brackets = summary([double(), single()]).splitlines()
    columns = ["activations", "loss terms", "gradients", "optimiser", "one step", "losses"]
    assert head.split()[:3] == ["model", "precision", "measure"]
    assert all(column in head for column in (*columns, "N steps", "zero-gradient", "verdict"))
    numbers = ["1.0e-16", "2.0e-16", "3.0e-16", "1.0e-16", "5.0e-16", "2.0e-14", "6.0e-15"]
    assert line.split() == ["tiny", "float64", "relative", "error", *numbers, "7.0e-13", "ok"]
    numbers = ["1.00", "1.20", "2.80", "(40.00)", "(30.00)"]
    assert other.split() == ["tiny", "float32", "worst", "K", *numbers, "ok"]
    numbers = ["1.00", "1.20", "1.60", "40.00", "30.00"]
    assert medians.split() == ["all", "of", "these", "float32", "median", "K", *numbers]
    assert brackets.strip() == "in brackets: plotted, not judged"
    assert len(summary([double()]).splitlines()) == 2


def test_the_summary_of_a_broken_report_says_so_even_for_nan():
    broken = Report(
        "title", (exact(Stage.LOSSES, "a", float("nan")), exact(Stage.LOSSES, "b", 0.5, 1.0))
    )
    assert summary([broken]).splitlines()[1].split() == ["relative", "error", "nan", "BROKEN"]
    broken = Report("title", (exact(Stage.LOSSES, "a", float("nan")),))
    assert summary([broken]).splitlines()[1].split()[-2:] == ["nan", "BROKEN"]


def test_markdown_has_every_report_with_its_verdict_and_settings():
    page = markdown([double("conv1"), single()])
    assert page.startswith("# Parity report\n")
    assert "## tiny: in float64" in page
    assert f"**{verdict(double('conv1'))}**" in page
    assert "## tiny: in float32" in page
    assert "- a note\n" in page
    assert "- seed: 3\n" in page
    assert f"jax {jax.__version__}" in page
    for block in page.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
    assert "in brackets" not in markdown([double()])


@pytest.mark.slow
@pytest.mark.parametrize("reports", [[double()], [double("conv1"), single()]])
def test_three_files_are_written_into_a_folder_that_is_made(reports, tmp_path):
    write_reports(tmp_path / "new" / "folder", reports)
    folder = tmp_path / "new" / "folder"
    assert {p.name for p in folder.iterdir()} == {"report.json", "report.md", "report.png"}
    text = (folder / "report.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert [r["title"] for r in found] == [r.title for r in reports]
    assert [len(r["rows"]) for r in found] == [len(r.rows) for r in reports]
    assert (folder / "report.md").read_text() == markdown(reports)
    with Image.open(folder / "report.png") as image:
        image.load()
        assert image.width > image.height / len(reports)
    write_reports(folder, reports)  # over the old ones


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_reports(tmp_path / "file", [double()])
