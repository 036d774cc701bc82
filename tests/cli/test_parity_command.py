"""``vae-jax parity``: a table or JSON, and an exit status that can be trusted."""

import dataclasses
import json

import pytest

from vae_jax.parity import check


def test_a_port_that_agrees_exits_with_0_and_reports_every_comparison(succeed):
    (report,) = json.loads(succeed("parity", "digits_ae", "--steps=2", "--json").out)
    assert report["passed"] is True
    assert "digits_ae" in report["title"]
    rows = report["rows"]
    assert {"forward", "loss terms", "gradients"} <= {row["stage"] for row in rows}
    assert all(row["error"] <= row["budget"] and row["passed"] for row in rows)
    assert {row["tensor"] for row in rows if row["stage"] == "gradients"} >= {"common.weight"}


@pytest.mark.parametrize("as_json", [False, True])
def test_a_broken_budget_exits_with_1_and_is_marked(cli, monkeypatch, as_json):
    # Nothing of two frameworks agrees to 1e-12 in float32.
    tight = dataclasses.replace(check.budgets_of("digits_ae", "float32"), forward=1e-12)
    monkeypatch.setattr(check, "budgets_of", lambda *_: tight)
    outcome = cli(
        *("parity", "digits_ae", "--steps=0", "--precision=float32"),
        *(["--json"] if as_json else []),
    )
    assert outcome.status == 1
    if as_json:
        (report,) = json.loads(outcome.out)
        assert report["passed"] is False
        assert {row["stage"] for row in report["rows"] if not row["passed"]} == {"forward"}
    else:
        assert "BROKEN" in outcome.out


def test_the_weights_may_come_from_a_file(succeed, digits_file):
    out = succeed("parity", "digits_ae", "--steps=1", "--checkpoint", digits_file).out
    assert "digits_ae" in out
    assert "BROKEN" not in out


def test_a_file_of_another_model_is_told_before_anything_runs(cli, digits_file):
    outcome = cli("parity", "face_vae", "--checkpoint", digits_file)
    assert outcome.status == 1
    assert "these are the weights of digits_ae, not of face_vae" in outcome.error
    assert outcome.out == ""


@pytest.mark.parametrize("arguments", [[], ["digits_ae", "--all"], ["--all", "--checkpoint=x.pt"]])
def test_it_must_be_clear_which_models_are_meant(cli, arguments):
    outcome = cli("parity", *arguments)
    assert outcome.status != 0
    assert "name one model" in outcome.error
