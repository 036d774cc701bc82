"""The one list of stages: complete, in order, and nothing ahead of time."""

import numpy as np
import pytest

from vae_jax.parity.layers import INPUT
from vae_jax.parity.stages import UPDATES, Plan, observe, watched_steps


class Side:
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
    chosen = {"recipe": "adam", "steps": 3, "heads": ("head",), "statistics": frozenset({"mean"})}
    return Plan({}, lambda number: [number], **chosen | changes)


def seen(**changes):
    return [(o.stage, o.step, *o.tensors) for o in observe(Side(), plan(**changes))]


def layer_names(*layers):
    return [name + end for name in layers for end in (INPUT, "")]


BEFORE_TRAINING = [
    ("structure", 0, "w", "mean"),
    ("read-back", 0, "w", "mean"),
    ("activations", 0, *layer_names("body", "head")),
    ("posterior heads", 0, "latent"),
    ("activations", 0, *layer_names("tail"), "image"),
]
TRAIN_MODE = ("activations, train mode", 0, *layer_names("body", "head", "tail"))
GRADIENTS = [("loss terms", 0, "loss"), ("gradients", 0, "w")]
UPDATED = [("optimiser", n, f"update {n}") for n in range(1, UPDATES + 1)]


def state(when, step):
    stages = {"weights": "w", "exp_avg": "w", "statistics": "mean"}
    return [(f"{kind} {when}", step, name) for kind, name in stages.items()]


def test_stages_come_in_the_order_of_the_computation():
    run = [("losses", 1, "loss"), *state("after steps", 1)]
    run += [("losses", 2, "loss"), *state("after steps", 2)]
    run += [("losses", 3, "loss"), *state("after steps", 3)]
    expected = [*BEFORE_TRAINING, TRAIN_MODE, *GRADIENTS, *UPDATED]
    assert seen() == [*expected, *state("after one step", 0), *run]


def test_what_does_not_apply_is_left_out():
    assert seen(recipe=None) == [*BEFORE_TRAINING, TRAIN_MODE, *GRADIENTS]
    assert seen(steps=0) == [*BEFORE_TRAINING, TRAIN_MODE, *GRADIENTS, *UPDATED]
    plain = seen(recipe=None, statistics=frozenset())
    assert plain == [*BEFORE_TRAINING, *GRADIENTS]
    assert seen(recipe=None, batches=0) == [*BEFORE_TRAINING, TRAIN_MODE]


def test_without_heads_the_outputs_follow_the_last_layer():
    found = seen(recipe=None, heads=(), statistics=frozenset())
    assert found[2:5] == [
        ("activations", 0, *layer_names("body", "head", "tail")),
        ("outputs", 0, "latent"),
        ("activations", 0, "image"),
    ]


def test_further_batches_share_no_inputs_with_training_steps():
    side = Side()
    stages = [(o.stage, o.step) for o in observe(side, plan(batches=3))]
    assert [s for s in stages if s[0] == "gradients"] == [("gradients", n) for n in range(3)]
    assert [s for s in stages if s[0] == "weights after one step"] == [
        ("weights after one step", n) for n in range(3)
    ]
    measured = [c.split()[1] for c in side.calls if c.startswith("backward")]
    steps = [c.split()[1] for c in side.calls if c.startswith("step")]
    assert steps == [*measured, "1", "2", "3"]
    assert measured[0] == "0"
    assert all(int(number) > 10_000 for number in measured[1:])


def test_nothing_is_computed_before_it_is_asked_for():
    side = Side()
    observations = observe(side, plan())
    assert side.calls == []
    assert next(observations).stage == "structure"
    assert side.calls == ["reset", "state_dict"]
    assert next(observations).stage == "read-back"
    assert next(observations).stage == "activations"
    assert side.calls == ["reset", "state_dict", "trace 0 False"]
    for observation in observations:
        if observation.stage == "gradients":
            break
    assert not any(call.startswith(("step", "updates")) for call in side.calls)


def test_every_measurement_starts_from_the_same_weights():
    side = Side()
    list(observe(side, plan(batches=2)))
    relevant = [c.split()[0] for c in side.calls if c.startswith(("reset", "step", "trace"))]
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
