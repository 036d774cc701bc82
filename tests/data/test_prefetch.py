"""prefetch: the same items, made ahead in a thread that never outlives its use."""

import contextlib
import gc
import subprocess
import sys
import threading
import time

import pytest

from vae_jax.data import prefetch


@pytest.fixture(autouse=True)
def no_thread_left():
    yield
    assert [t.name for t in threading.enumerate() if "prefetch" in t.name] == []


class Counted:
    """Counts to a number, and tells what was taken and whether it was closed."""

    def __init__(self, count, fail_at=None):
        self.taken, self.closed = 0, threading.Event()
        self.count, self.fail_at = count, fail_at

    def __iter__(self):
        for number in range(self.count):
            if number == self.fail_at:
                raise ValueError("no more pictures")
            self.taken += 1
            yield number

    def close(self):
        self.closed.set()


def until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited 5 s")


@pytest.mark.parametrize("depth", [1, 2, 100])
def test_the_items_come_in_order_and_then_an_end_that_stays_one(depth):
    source = Counted(50)
    items = prefetch(source, lambda number: number * 2, depth=depth)
    assert list(items) == list(range(0, 100, 2))
    assert list(items) == []
    assert source.closed.is_set()
    assert list(prefetch(range(3))) == [0, 1, 2]


def test_the_thread_is_as_far_ahead_as_it_was_told_and_no_further():
    source = Counted(50)
    with contextlib.closing(prefetch(source, depth=3)) as items:
        until(lambda: source.taken == 3)
        assert next(items) == 0
        until(lambda: source.taken == 4)
        time.sleep(0.05)
        assert source.taken == 4
    assert source.closed.is_set()


def test_what_is_made_ready_is_made_in_one_other_thread():
    seen = set()
    list(prefetch(range(9), lambda _: seen.add(threading.current_thread())))
    assert len(seen) == 1
    assert threading.current_thread() not in seen


@pytest.mark.parametrize("by", ["batches", "transform"])
def test_an_error_is_raised_in_its_place_and_is_the_end(by):
    def transform(number):
        if by == "transform" and number == 3:
            raise ValueError("no more pictures")
        return number

    source = Counted(9, fail_at=3 if by == "batches" else None)
    items = prefetch(source, transform)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no more pictures"):
        next(items)
    assert list(items) == []
    assert source.closed.is_set()


@pytest.mark.parametrize("end", ["close", "drop", "at once", "cycle"])
def test_a_consumer_that_stops_early_stops_the_thread(end):
    source = Counted(10**9)
    items = prefetch(source)
    if end != "at once":
        assert next(items) == 0
    if end == "drop":
        del items
    elif end == "cycle":
        items.itself = items
        del items
        gc.collect()
    else:
        items.close()
        assert list(items) == []
    assert source.closed.is_set()
    assert source.taken < 10


def test_a_program_that_ends_in_the_middle_ends_at_once():
    code = (
        "from vae_jax.data import prefetch; import itertools\n"
        "items = prefetch(itertools.count()); print(next(items))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0", "")


def test_nothing_ahead_is_refused():
    with pytest.raises(ValueError, match="depth is 0"):
        prefetch([], depth=0)
