"""Turns in rotation, long enough, with a rest before each."""

import pytest

from vae_jax.benchmark.timing import Times, interleave, settle


class Machine:
    """A clock that only work moves, and a record of who worked."""

    def __init__(self, **seconds):
        self.now, self.calls, self.rests = 0.0, [], 0
        self.runs = {name: self.runner(name, unit) for name, unit in seconds.items()}

    def runner(self, name, unit):
        def run(count):
            compiling = 5.0 if not any(who == name for who, _ in self.calls) else 0.0
            self.calls.append((name, count))
            self.now += count * unit + compiling

        return run

    def rest(self):
        self.rests += 1

    def interleave(self, rounds, **given):
        return interleave(self.runs, rounds, clock=lambda: self.now, rest=self.rest, **given)


def test_the_order_rotates_so_that_nobody_is_always_first():
    machine = Machine(a=1.0, b=1.0, c=1.0)
    machine.interleave(4, turn=0)
    assert "".join(name for name, _ in machine.calls) == "abc" + "abc" + "bca" + "cab" + "abc"


def test_a_turn_repeats_the_work_until_it_lasts():
    machine = Machine(slow=0.25, quick=0.0078125)
    found = machine.interleave(3, turn=0.0625)
    assert {name: times.repetitions for name, times in found.items()} == {"slow": 1, "quick": 8}
    warm = [("quick", 4), ("quick", 8)]  # woken before it is timed
    assert machine.calls[-9:] == [("slow", 1), *warm, *warm, ("slow", 1), ("slow", 1), *warm]
    assert machine.rests == 2 + 6  # before the first call, and before each turn


def test_a_hiccup_does_not_make_turns_short():
    machine = Machine(work=0.0078125)
    steady = machine.runs["work"]

    def hiccup(count):
        machine.now += 9.0 if len(machine.calls) == 1 else 0.0  # right after compiling
        steady(count)

    machine.runs["work"] = hiccup
    assert machine.interleave(1, turn=0.0625)["work"].repetitions == 8


def test_times_are_of_a_unit_and_the_first_call_is_told_apart():
    found = Machine(work=0.0078125).interleave(3, turn=0.0625)["work"]
    assert found.first == 5.0078125
    assert found.seconds == (0.0078125,) * 3
    assert found.median == 0.0078125


def test_without_a_turn_to_fill_nothing_is_measured_before():
    machine = Machine(epoch=20.0)
    machine.interleave(2, turn=0)
    assert machine.calls == [("epoch", 1)] * 3


def test_the_spread_is_the_quartiles():
    times = Times(0.0, 1, (1.0, 2.0, 3.0, 4.0, 100.0))
    assert times.median == 3.0
    assert times.quartiles == (2.0, 4.0)


@pytest.mark.parametrize(("spinning", "sleeps"), [(0, 1), (3, 4), (99, 10)])
def test_a_rest_waits_for_threads_that_spin_but_not_forever(spinning, sleeps):
    slept, used = [], 0.0

    def sleep(seconds):
        nonlocal used
        slept.append(seconds)
        used += seconds if len(slept) <= spinning else 0.0

    settle(0.1, 1.0, sleep=sleep, busy=lambda: used)
    assert len(slept) == sleeps
