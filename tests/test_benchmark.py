"""This package's own benchmark: tasks, the work itself, turns, times and memory."""

import json
from typing import Any

import numpy as np
import pytest
from drawn_weights import drawn_variables

from vae_jax.benchmark import runs, timing
from vae_jax.benchmark.roofline import Ceilings
from vae_jax.benchmark.runs import Training, build
from vae_jax.benchmark.tasks import PRECISIONS, WORKS, make_task, tiny
from vae_jax.benchmark.timing import Times, interleave, measure
from vae_jax.cli import benchmark as command
from vae_jax.errors import UserError
from vae_jax.memory import PeakMeter
from vae_jax.training import state

CEILINGS = Ceilings(1e11, {1 << 20: 1e11})
SMALL: dict[str, Any] = {"latent_size": 2, "hidden_size": 4, "batch_size": 2}


@pytest.fixture(autouse=True)
def weights(monkeypatch):
    """Weights that no initialiser is compiled for."""
    monkeypatch.setattr(runs, "init_variables", drawn_variables)
    monkeypatch.setattr(state, "init_variables", drawn_variables)


class Machine:
    """A clock that only work moves, and a record of who worked."""

    def __init__(self, monkeypatch, **seconds):
        self.now, self.calls, self.rests = 0.0, [], 0
        self.runs = {name: self.runner(name, unit) for name, unit in seconds.items()}
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def runner(self, name, unit):
        def run(count):
            compiling = 5.0 if not any(who == name for who, _ in self.calls) else 0.0
            self.calls.append((name, count))
            self.now += count * unit + compiling

        return run

    def rest(self):
        self.rests += 1

    def interleave(self, rounds, turn):
        return interleave(self.runs, rounds, turn=turn, rest=self.rest)


def test_the_order_rotates_so_that_nobody_is_always_first(monkeypatch):
    machine = Machine(monkeypatch, a=1.0, b=1.0, c=1.0)
    machine.interleave(4, turn=0)
    assert "".join(name for name, _ in machine.calls) == "abc" + "abc" + "bca" + "cab" + "abc"


def test_a_turn_repeats_the_work_until_it_lasts(monkeypatch):
    machine = Machine(monkeypatch, slow=0.25, quick=0.0078125)
    found = machine.interleave(3, turn=0.0625)
    assert {name: times.repetitions for name, times in found.items()} == {"slow": 1, "quick": 8}
    warm = [("quick", 4), ("quick", 8)]  # woken before it is timed
    assert machine.calls[-9:] == [("slow", 1), *warm, *warm, ("slow", 1), ("slow", 1), *warm]
    assert machine.rests == 2 + 6  # before the first call, and before each turn


def test_a_hiccup_does_not_make_turns_short(monkeypatch):
    machine = Machine(monkeypatch, work=0.0078125)
    steady = machine.runs["work"]

    def hiccup(count):
        machine.now += 9.0 if len(machine.calls) == 1 else 0.0  # right after compiling
        steady(count)

    machine.runs["work"] = hiccup
    assert machine.interleave(1, turn=0.0625)["work"].repetitions == 8


def test_times_are_of_a_unit_and_the_first_call_is_kept_apart(monkeypatch):
    found = Machine(monkeypatch, work=0.0078125).interleave(3, turn=0.0625)["work"]
    assert found.first == 5.0078125
    assert found.seconds == (0.0078125,) * 3
    assert found.median == 0.0078125


def test_without_a_turn_to_fill_nothing_is_measured_before(monkeypatch):
    machine = Machine(monkeypatch, epoch=20.0)
    machine.interleave(2, turn=0)
    assert machine.calls == [("epoch", 1)] * 3


def test_the_spread_is_the_quartiles():
    times = Times(0.0, 1, (1.0, 2.0, 3.0, 4.0, 100.0))
    assert times.median == 3.0
    assert times.quartiles == (2.0, 4.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"work": "train"}, "there is no work 'train'; expected one of step, epoch"),
        ({"precision": "float16"}, "precision 'float16'; expected one of float32, tf32"),
        ({"precision": "tf32", "device": "cpu"}, "tf32 needs a GPU and this is a CPU"),
        ({"widths": (2,)}, "digits_ae has no hyperparameter 'widths'"),
    ],
)
def test_impossible_tasks_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        make_task("digits_ae", **given)


def test_a_task_takes_the_tutorials_sizes_unless_told():
    assert make_task("face_vae").batch_size == 16
    assert make_task("face_vae", "decode").batch_size == 256
    epoch = make_task("digits_ae", "epoch")
    assert (epoch.batch_size, epoch.num_images, epoch.num_steps) == (32, 60_000, 1875)
    assert make_task("face_vae", "epoch").num_images == 60_000 * 28 * 28 // 256**2
    assert make_task("stddev_vae", "epoch", num_images=250).images == 200


def test_the_least_task_does_the_same_work():
    least = tiny(make_task("face_vae", "encode"))
    assert (least.model, least.work, least.batch_size) == ("digits_ae", "encode", 2)
    assert least.module.hidden_size == 1


def test_steps_bring_the_loss_of_their_batch_down():
    run = build(make_task("digits_ae", **SMALL))
    first, last = run(1), run(20)
    assert first is not None
    assert last is not None
    assert np.isfinite(first)
    assert last < first


@pytest.mark.slow
def test_an_epoch_takes_every_step_and_brings_the_loss_down():
    training = Training(make_task("digits_ae", "epoch", num_images=5, **SMALL))
    first = training.run(1)
    assert int(training.state.step) == 3  # the last of one image
    assert np.isfinite(first)
    assert training.run(20) < first
    assert training.epoch == 21


@pytest.mark.parametrize(
    ("work", "model", "hyper"),
    [
        ("decode", "digits_ae", SMALL),
        ("sample", "digits_ae", SMALL),
        ("encode", "digits_cvae", {"channels": 2, "batch_size": 2}),  # a posterior, with labels
    ],
)
def test_a_trained_model_is_used_without_a_loss(work, model, hyper):
    assert build(make_task(model, work, **hyper))(2) is None


@pytest.mark.slow
def test_a_task_is_measured_with_its_time_its_floor_and_its_memory():
    task = make_task("digits_ae", "decode", **SMALL)
    row, memory = measure(task, CEILINGS, rounds=2)
    found = row.as_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["model"], found["work"], found["images"]) == ("digits_ae", "decode", 2)
    assert found["hyper"] == {"latent_size": 2, "hidden_size": 4}
    assert found["median_seconds"] == pytest.approx(sum(found["rounds_seconds"]) / 2)
    assert found["images_per_second"] == 2 / found["median_seconds"]
    assert found["floor_seconds"] == (task.cost.flop + task.cost.moved) / 1e11
    assert found["floor_share"] == found["floor_seconds"] / found["median_seconds"]
    assert 0 <= (memory.steady_bytes or 0) <= memory.peak_bytes < 2**32
    assert (memory.steady_bytes is not None) == PeakMeter().resets


def test_the_command_offers_what_can_be_measured():
    assert command._WORKS == WORKS
    assert command._PRECISIONS == PRECISIONS
