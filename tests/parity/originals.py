"""The models by their original's framework, and what a whole comparison with one consists of."""

import pytest

from vae_jax.convert.mapping import rules_of
from vae_jax.models import MODELS
from vae_jax.parity.stages import Kind, Stage


def framework_mark(name):
    """The mark of tests that run a model's original."""
    return getattr(pytest.mark, {"PyTorch": "torch"}.get(framework(name), framework(name).lower()))


def framework(name):
    return MODELS[name].reference.framework


def stages_of(statistics):
    """All stages of a comparison in order; statistics are those of batch norms."""
    left_out = {Stage.WEIGHTS_AND_INPUTS, Stage.OUTPUTS}
    if not statistics:
        left_out |= {Stage.TRAIN_ACTIVATIONS, Stage.STEP_STATISTICS, Stage.RUN_STATISTICS}
    return [stage for stage in Stage if stage not in left_out]


def assert_complete(name, report, **hyper):
    """Every stage is there, and every tensor of the reference in its stages."""
    rules = rules_of(name, **hyper)
    statistics = {rule.source for rule in rules if rule.target[0] == "batch_stats"}
    parameters = {rule.source for rule in rules} - statistics
    assert list(dict.fromkeys(row.stage for row in report.rows)) == stages_of(statistics)
    of_kind = {
        Kind.STRUCTURE: parameters | statistics,
        Kind.READ_BACK: parameters | statistics,
        Kind.STATISTICS: statistics,
        **dict.fromkeys((Kind.GRADIENTS, Kind.PARAMETERS), parameters),
        **dict.fromkeys((Kind.FIRST_MOMENT, Kind.SECOND_MOMENT), parameters),
    }
    for stage in stages_of(statistics):
        tensors = {row.tensor for row in report.rows if row.stage is stage}
        assert tensors == of_kind.get(stage.kind, tensors)
