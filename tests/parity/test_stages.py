"""The one list of stages: complete, in order, and nothing ahead of time."""

import numpy as np
import pytest

from vae_jax.parity.backends import Backend
from vae_jax.parity.layers import INPUT
from vae_jax.parity.observe import UPDATES, Plan, observe, watched_steps
from vae_jax.parity.stages import Kind, Phase, Stage
from vae_jax.recipe import Recipe

RECIPE = Recipe(data="digits", epochs=1, batch_size=2, learning_rate=1e-3)


class FakeBackend(Backend):
    """Notes what is asked of it."""

    def __init__(self):
        self.calls = []

    def reset(self, tensors):
        self.calls.append("reset")

    def state_dict(self):
        self.calls.append("state_dict")
        return {"w": np.zeros((2, 3)), "mean": np.zeros(2)}

    def trace(self, *probe, train=False):
        self.calls.append(f"trace {probe[0]} {train}")
        names = ("body", "head", "tail")
        layers = {n + end: np.zeros(1) for n in names for end in (INPUT, "")}
        return layers, {} if train else {"latent": np.zeros(1), "image": np.zeros(1)}

    def backward(self, *probe):
        self.calls.append(f"backward {probe[0]}")
        return {"loss": 1.0}, {"w": np.zeros((2, 3))}

    def step(self, recipe, *probe):
        self.calls.append(f"step {probe[0]}")
        return {"loss": 1.0}

    def moments(self):
        return {"exp_avg": {"w": np.zeros((2, 3))}}

    def updates(self, recipe, start, gradients):
        self.calls.append("updates")
        return (start + g for g in gradients)


def plan(**changes):
    chosen = {"recipe": RECIPE, "steps": 3, "heads": ("head",), "statistics": frozenset({"mean"})}
    return Plan({}, lambda number: [number], **chosen | changes)


def seen(**changes):
    return [(o.stage, o.step, *o.tensors) for o in observe(FakeBackend(), plan(**changes))]


def layer_names(*layers):
    return [name + end for name in layers for end in (INPUT, "")]


BEFORE_TRAINING = [
    (Stage.STRUCTURE, 0, "w", "mean"),
    (Stage.READ_BACK, 0, "w", "mean"),
    (Stage.ACTIVATIONS, 0, *layer_names("body", "head")),
    (Stage.POSTERIOR_HEADS, 0, "latent"),
    (Stage.ACTIVATIONS, 0, *layer_names("tail"), "image"),
]
TRAIN_MODE = (Stage.TRAIN_ACTIVATIONS, 0, *layer_names("body", "head", "tail"))
GRADIENTS = [(Stage.LOSS_TERMS, 0, "loss"), (Stage.GRADIENTS, 0, "w")]
UPDATED = [(Stage.OPTIMISER, n, f"update {n}") for n in range(1, UPDATES + 1)]


def state(when, step):
    kinds = {Kind.PARAMETERS: "w", Kind.FIRST_MOMENT: "w", Kind.STATISTICS: "mean"}
    stages = [stage for stage in Stage if stage.phase is when and stage.kind in kinds]
    return [(stage, step, kinds[stage.kind]) for stage in stages]


def test_stages_come_in_the_order_of_the_computation():
    run = [(Stage.LOSSES, 1, "loss"), *state(Phase.RUN, 1)]
    run += [(Stage.LOSSES, 2, "loss"), *state(Phase.RUN, 2)]
    run += [(Stage.LOSSES, 3, "loss"), *state(Phase.RUN, 3)]
    expected = [*BEFORE_TRAINING, TRAIN_MODE, *GRADIENTS, *UPDATED]
    assert seen() == [*expected, *state(Phase.ONE_STEP, 0), *run]


def test_what_does_not_apply_is_left_out():
    assert seen(recipe=None) == [*BEFORE_TRAINING, TRAIN_MODE, *GRADIENTS]
    assert seen(steps=0) == [*BEFORE_TRAINING, TRAIN_MODE, *GRADIENTS, *UPDATED]
    plain = seen(recipe=None, statistics=frozenset())
    assert plain == [*BEFORE_TRAINING, *GRADIENTS]
    assert seen(recipe=None, batches=0) == [*BEFORE_TRAINING, TRAIN_MODE]


def test_without_heads_the_outputs_follow_the_last_layer():
    found = seen(recipe=None, heads=(), statistics=frozenset())
    assert found[2:5] == [
        (Stage.ACTIVATIONS, 0, *layer_names("body", "head", "tail")),
        (Stage.OUTPUTS, 0, "latent"),
        (Stage.ACTIVATIONS, 0, "image"),
    ]


def test_further_batches_share_no_inputs_with_training_steps():
    backend = FakeBackend()
    stages = [(o.stage, o.step) for o in observe(backend, plan(batches=3))]
    assert [s for s in stages if s[0] == Stage.GRADIENTS] == [
        (Stage.GRADIENTS, n) for n in range(3)
    ]
    assert [s for s in stages if s[0] == Stage.STEP_WEIGHTS] == [
        (Stage.STEP_WEIGHTS, n) for n in range(3)
    ]
    measured = [c.split()[1] for c in backend.calls if c.startswith("backward")]
    steps = [c.split()[1] for c in backend.calls if c.startswith("step")]
    assert steps == [*measured, "1", "2", "3"]
    assert measured[0] == "0"
    assert all(int(number) > 10_000 for number in measured[1:])


def test_nothing_is_computed_before_it_is_asked_for():
    backend = FakeBackend()
    observations = observe(backend, plan())
    assert backend.calls == []
    assert next(observations).stage == Stage.STRUCTURE
    assert backend.calls == ["reset", "state_dict"]
    assert next(observations).stage == Stage.READ_BACK
    assert next(observations).stage == Stage.ACTIVATIONS
    assert backend.calls == ["reset", "state_dict", "trace 0 False"]
    for observation in observations:
        if observation.stage == Stage.GRADIENTS:
            break
    assert not any(call.startswith(("step", "updates")) for call in backend.calls)


def test_every_measurement_starts_from_the_same_weights():
    backend = FakeBackend()
    list(observe(backend, plan(batches=2)))
    relevant = [c.split()[0] for c in backend.calls if c.startswith(("reset", "step", "trace"))]
    assert relevant == [
        *("reset", "trace", "trace", "reset"),
        *("reset", "step", "reset", "step"),
        *("reset", "step", "step", "step"),
    ]


@pytest.mark.parametrize(
    ("steps", "watched"),
    [
        (0, []),
        (1, [1]),
        (3, [1, 2, 3]),
        (20, [1, 2, 5, 10, 20]),
        (120, [1, 2, 5, 10, 20, 50, 100, 120]),
    ],
)
def test_the_whole_state_is_compared_after_ever_more_steps_and_the_last(steps, watched):
    assert watched_steps(steps) == watched


def test_a_stages_value_is_what_reports_and_recordings_store():
    assert [stage.value for stage in Stage] == [
        *("weights and inputs", "structure", "read-back", "activations", "posterior heads"),
        *("outputs", "activations, train mode", "loss terms", "gradients", "optimiser"),
        *("weights after one step", "exp_avg after one step", "exp_avg_sq after one step"),
        *("statistics after one step", "losses", "weights after steps", "exp_avg after steps"),
        *("exp_avg_sq after steps", "statistics after steps"),
    ]
    for stage in Stage:
        assert Stage(stage.value) is stage


def test_zero_gradient_tensors_matter_where_gradients_do():
    apart = [stage for stage in Stage if stage.follows_gradients]
    after = [s for s in Stage if s.phase is not Phase.NONE and s is not Stage.LOSSES]
    assert apart == [Stage.GRADIENTS, *after]
    scaled = [stage for stage in Stage if stage.has_scale_of_gradients]
    assert scaled == [Stage.GRADIENTS, *(stage for stage in Stage if stage.moment)]
    assert [s for s in Stage if s.is_plotted_only] == [s for s in after if s.phase is Phase.RUN]
