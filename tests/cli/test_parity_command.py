"""``vae-jax parity``: a table, JSON or a folder of reports, and an exit status to be trusted."""

import json

import pytest
from PIL import Image

from vae_jax.parity import check
from vae_jax.parity.bundle import bundle_file
from vae_jax.parity.stages import Kind
from vae_jax.parity.tolerances import Tolerances

BUNDLE = str(bundle_file("digits_ae"))
SMALL = ("digits_ae", "--hyper=hidden_size=8")


@pytest.mark.torch
def test_a_port_that_agrees_exits_with_0_and_reports_every_comparison(succeed):
    (report,) = json.loads(succeed("parity", *SMALL, "--steps=2", "--json").out)
    assert report["passed"] is True
    assert report["first_divergence"] is None
    assert "digits_ae" in report["title"]
    rows = report["rows"]
    assert {"read-back", "activations", "loss terms", "gradients"} <= {row["stage"] for row in rows}
    assert all(row["error"] <= row["tolerance"] and row["passed"] for row in rows)
    assert {row["tensor"] for row in rows if row["stage"] == "gradients"} >= {"common.weight"}
    facts = report["facts"]
    assert facts["products"] == "float64, matmul precision highest"
    assert {"devices", "prng", "xla_flags", "versions"} <= facts["environment"].keys()


@pytest.mark.torch
@pytest.mark.parametrize("as_json", [False, True])
def test_a_broken_tolerance_exits_with_1_and_says_where_first(cli, monkeypatch, as_json):
    nothing_passes = Tolerances(*[dict.fromkeys(Kind, 0.0)] * 2)
    monkeypatch.setattr(check, "tolerances_of", lambda *_: nothing_passes)
    outcome = cli("parity", *SMALL, "--steps=0", *(["--json"] if as_json else []))
    assert outcome.status == 1
    if as_json:
        (report,) = json.loads(outcome.out)
        assert report["passed"] is False
        assert report["first_divergence"] == {"stage": "activations", "place": "common"}
    else:
        assert "DIVERGES first in activations: common" in outcome.out
        assert "BROKEN" in outcome.out


@pytest.mark.slow
@pytest.mark.torch
def test_two_precisions_of_a_recording_make_one_report_in_three_files(succeed, tmp_path):
    folder, bundle = tmp_path / "new" / "report", tmp_path / "small.safetensors"
    succeed("parity", "record", *SMALL, "--steps=1", "--out", bundle)
    out = succeed(
        *("parity", "--bundle", bundle, "--precision=float64", "--precision=float32"),
        *("--out", str(folder)),
    ).out
    assert "worst K" in out
    assert "what PyTorch" in out
    assert len(json.loads((folder / "report.json").read_text())) == 2
    assert "| digits_ae | float32 | worst K |" in (folder / "report.md").read_text()
    with Image.open(folder / "report.png") as picture:
        assert picture.width > 1000


@pytest.mark.torch
def test_quick_takes_few_steps(succeed):
    assert "3 training steps" in succeed("parity", *SMALL, "--quick").out


@pytest.mark.paddle
def test_an_original_in_another_framework_is_compared_too(succeed):
    out = succeed("parity", "digits_vae", "--hyper=channels=4", "--steps=0").out
    assert "digits_vae: the port against Paddle " in out


@pytest.mark.slow
@pytest.mark.torch
def test_the_weights_may_come_from_a_file(succeed, digits_file):
    out = succeed("parity", "digits_ae", "--steps=0", "--checkpoint", digits_file).out
    assert "digits_ae" in out
    assert "BROKEN" not in out


@pytest.mark.slow
@pytest.mark.torch
def test_a_recording_of_a_checkpoint_is_checked_with_it_alone(cli, succeed, digits_file, tmp_path):
    bundle = str(tmp_path / "bundle.safetensors")
    out = succeed(
        *("parity", "record", "digits_ae", "--checkpoint", digits_file, "--steps=0"),
        *("--out", bundle),
    ).out
    assert "bytes" in out
    succeed("parity", "digits_ae", "--bundle", bundle, "--checkpoint", digits_file)
    outcome = cli("parity", "digits_ae", "--bundle", bundle)
    assert outcome.status == 2
    assert "give the same one with --checkpoint" in outcome.error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name one model"),
        (["digits_ae", "--all"], "name one model"),
        (["--all", "--checkpoint=x.pt"], "--checkpoint and --bundle need one model"),
        (["nonsense"], "there is no model 'nonsense'"),
        (["face_vae", "--bundle", BUNDLE], "this is a bundle of digits_ae, not of face_vae"),
        (["digits_ae", "--recorded", "--steps=3"], "leave out --steps"),
        (["digits_ae", "--recorded", "--bundle", BUNDLE], "exclude each other"),
        (["digits_ae", "--quick", "--steps=3"], "--quick sets --steps"),
        (["digits_ae", "--key=ema"], "--key needs --checkpoint"),
        (["--all", "--hyper=latent_size=3"], "--hyper needs one model"),
        (["digits_ae", "--out", f"{BUNDLE}/report"], "cannot create the folder"),
        (["record", "digits_ae", "--out", BUNDLE], "exists already"),
        (["--bundle", "/nowhere.safetensors"], "/nowhere.safetensors"),
        (["record", "digits_ae", "--out", "bundle.txt"], "ends in .safetensors"),
        (["record", "digits_ae"], "--out"),
    ],
)
def test_what_could_not_run_exits_with_2_and_one_line(cli, arguments, said):
    outcome = cli("parity", *arguments)
    assert outcome.status == 2
    assert said in outcome.error
    assert outcome.error.strip().count("\n") == 0
    assert outcome.out == ""


def test_a_file_of_another_model_is_told_before_anything_runs(cli, digits_file):
    outcome = cli("parity", "face_vae", "--checkpoint", digits_file)
    assert outcome.status == 2
    assert "these are the weights of digits_ae, not of face_vae" in outcome.error
    assert outcome.out == ""
