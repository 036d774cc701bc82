"""The ports against their live originals: the figures that the project promises."""

import numpy as np
import pytest

from vae_jax.convert.mapping import rules_of
from vae_jax.models import MODELS
from vae_jax.parity.budgets import budgets_of
from vae_jax.parity.check import check_model
from vae_jax.parity.tables import table

SMALL = [name for name in MODELS if name != "face_vae"]
PROMISED = {
    "structure": 0.0,
    "read-back": 0.0,
    "activations": 1e-13,
    "activations, train mode": 1e-13,
    "posterior heads": 1e-13,
    "loss terms": 1e-12,
    "gradients": 1e-12,
    "gradients, noise-fed": 1e-12,
    "optimiser": 1e-13,
    "losses": 1e-12,
    "weights": 1e-11,
    "exp_avg": 1e-11,
    "exp_avg_sq": 1e-11,
    "statistics": 1e-11,
    "noise-fed": 1e-6,
}
TRAINED = ("weights", "exp_avg", "exp_avg_sq", "statistics")
OTHERWISE = {
    "face_vae": dict.fromkeys(TRAINED, 1e-8),
    "stddev_vae": dict.fromkeys(TRAINED, 1e-10) | {"losses": 1e-11, "loss terms": 1e-11},
}


def stages_of(statistics):
    """All stages in order; statistics are those of batch norms."""
    state = ("weights", "exp_avg", "exp_avg_sq", *(["statistics"] if statistics else []))
    return [
        *("structure", "read-back", "activations", "posterior heads"),
        *(["activations, train mode"] if statistics else []),
        *("loss terms", "gradients", "optimiser"),
        *(f"{kind} after one step" for kind in state),
        "losses",
        *(f"{kind} after steps" for kind in state),
    ]


def assert_complete(name, report):
    """Every stage is there, and every tensor of the reference in its stages."""
    rules = rules_of(name)
    statistics = {rule.source for rule in rules if rule.target[0] == "batch_stats"}
    parameters = {rule.source for rule in rules} - statistics
    found = [stage for stage in report.stages() if not stage.endswith("noise-fed")]
    assert found == stages_of(statistics)
    for stage in found:
        tensors = {
            row.tensor for row in report.rows if row.stage.removesuffix(", noise-fed") == stage
        }
        kind = stage.split()[0]
        if kind in ("structure", "read-back"):
            assert tensors == parameters | statistics
        elif kind in ("gradients", "weights", "exp_avg", "exp_avg_sq"):
            assert tensors == parameters
        elif kind == "statistics":
            assert tensors == statistics


@pytest.mark.parametrize("name", MODELS)
def test_the_budgets_are_those_that_are_promised(name):
    budgets = budgets_of(MODELS[name].reference)
    promised = PROMISED | OTHERWISE.get(name, {})
    for stage in stages_of(statistics=True):
        kind = stage if stage in promised else stage.split()[0]
        assert budgets.of(stage, judged_by_k=False) == promised[kind], stage
    for stage in ("weights after one step, noise-fed", "exp_avg after steps, noise-fed"):
        assert budgets.of(stage, judged_by_k=False) == promised["noise-fed"]
    assert budgets.of("gradients, noise-fed", judged_by_k=False) == promised["gradients"]


@pytest.mark.parametrize("name", SMALL)
def test_float64_follows_the_original_through_training(name):
    report = check_model(name, steps=3)
    assert report.passed, table(report)
    assert_complete(name, report)
    assert all(row.k is None for row in report.rows)


def test_float64_follows_the_large_original_through_a_step():
    report = check_model("face_vae", steps=1, batch_size=2)  # of 63 million weights
    assert report.passed, table(report)
    assert_complete("face_vae", report)


@pytest.mark.parametrize("name", SMALL)
def test_float32_is_as_near_to_the_truth_as_the_original(name):
    report = check_model(name, precision="float32", steps=2)
    assert report.passed, table(report)
    assert_complete(name, report)
    for row in report.rows:
        assert (row.k is None) == (row.stage in ("structure", "read-back"))
        assert row.budget <= 20 or "steps" in row.stage or row.stage == "losses"


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("name", ["digits_ae", "stddev_vae", "digits_vae"])
def test_products_of_rounded_factors_agree_in_each_framework(name, precision):
    report = check_model(name, precision=precision, steps=1, batch_size=2)
    assert report.passed, table(report)
    assert_complete(name, report)
    rounding = {"tf32": 2.0**-11, "bfloat16": 2.0**-8}[precision]
    strays = [row.stray for row in report.rows if row.stage == "activations"]
    assert rounding / 100 < max(strays) < rounding * 10


def test_weights_of_a_file_are_where_the_comparison_starts():
    from vae_jax.parity.pytorch import TorchReference

    tensors = TorchReference("digits_ae", np.float64, seed=5).state_dict()
    report = check_model("digits_ae", steps=1, tensors=tensors)
    other = check_model("digits_ae", steps=1)
    assert report.passed
    assert [row.max_abs for row in report.rows] != [row.max_abs for row in other.rows]


def test_other_sizes_agree_too():
    hyper = {"image_shape": (9, 7, 2), "widths": (4, 6), "latent_size": 3}
    report = check_model("conv_vae", steps=0, batch_size=2, batch_norm=True, **hyper)
    assert report.passed, table(report)
    assert {"activations, train mode", "gradients, noise-fed"} <= report.stages().keys()
