"""Damaged copies of real files: a value or one line, whoever reads them.

`scripts/fuzz_readers.py` tries many more, and those that need TensorFlow.
"""

import functools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vae_jax.fuzzing.cases import make_case, real_cases
from vae_jax.fuzzing.readers import READERS
from vae_jax.fuzzing.trial import attempt

QUICK = [name for name, reader in READERS.items() if not reader.needs and reader.share > 0.05]
SLOW = [name for name, reader in READERS.items() if not reader.needs and reader.share <= 0.05]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzing") / "case"


@functools.cache
def warm_up(name, place):
    """The first input of a reader pays for imports and compilation."""
    attempt(READERS[name], next(iter(real_cases(name))), place)


def check(name, place, choices):
    warm_up(name, place)
    case = make_case(READERS[name], real_cases(name), choices)
    assert attempt(READERS[name], case, place).fault is None


@pytest.mark.parametrize("name", [n for n, reader in READERS.items() if not reader.needs])
def test_a_real_file_is_accepted(name, place):
    warm_up(name, place)
    for case in real_cases(name):
        outcome = attempt(READERS[name], case, place)
        assert outcome.accepted
        assert outcome.fault is None


# Always the same inputs, so that no other change breaks this test; the script takes a seed.
FIXED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", QUICK)
@settings(FIXED, max_examples=50)
@given(choices=st.randoms(use_true_random=False))
def test_a_damaged_file_is_read_or_refused_in_one_line(name, place, choices):
    check(name, place, choices)


@pytest.mark.parametrize("name", SLOW)
@settings(FIXED, max_examples=5)
@given(choices=st.randoms(use_true_random=False))
def test_a_damaged_file_of_a_slow_reader_is_read_or_refused_in_one_line(name, place, choices):
    check(name, place, choices)
