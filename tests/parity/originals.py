"""The models by their original's framework, and what a whole comparison with one consists of."""

import pytest

from vae_jax.convert.mapping import rules_of
from vae_jax.models import MODELS


def framework_mark(name):
    """The mark of tests that run a model's original."""
    return getattr(pytest.mark, {"PyTorch": "torch"}.get(framework(name), framework(name).lower()))


def framework(name):
    return MODELS[name].reference.framework


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


def assert_complete(name, report, **hyper):
    """Every stage is there, and every tensor of the reference in its stages."""
    rules = rules_of(name, **hyper)
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
