"""Damaged copies of real files: a value or one line, whoever reads them.

``scripts/fuzz_readers.py`` tries many more. A case here has the same number there.
"""

import pytest

from .cases import numbered_case
from .readers import READERS, real_cases
from .trial import attempt, write_case

# After a failed read TensorStore calls an event loop that Orbax has closed, which the command line
# hides (``cli/options.py``).
CLOSED_LOOP = pytest.mark.filterwarnings(
    "ignore:(?s)Exception ignored in. None.*Event loop is closed"
    ":pytest.PytestUnraisableExceptionWarning"
)


def params(*names):
    """Return readers as parameters, each with the mark of the framework that it needs."""
    needs = {name: READERS[name].needs for name in names}
    return [
        pytest.param(
            name,
            marks=[
                *([getattr(pytest.mark, needed)] if needed else []),
                *([CLOSED_LOOP] if name == "flax folder" else []),
            ],
        )
        for name, needed in needs.items()
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzing") / "case"


def count_of(name):
    return 50 if READERS[name].share > 0.05 else 5


@pytest.mark.parametrize("name", params(*READERS))
def test_real_files_are_accepted_and_damaged_ones_read_or_refused_in_one_line(name, place):
    attempt(READERS[name], real_cases(name)[0], place)  # pays for imports and compilation
    for case in real_cases(name):
        outcome = attempt(READERS[name], case, place)
        assert (outcome.accepted, outcome.fault) == (True, None)
    for number in range(count_of(name)):
        outcome = attempt(READERS[name], numbered_case(name, 0, number), place)
        assert outcome.fault is None, number


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", params("torch optimiser", "paddle optimiser", "tensorflow optimiser")
)
def test_the_state_of_a_real_optimiser_is_found(name, place):
    (case,) = real_cases(name)
    write_case(case, place)
    assert READERS[name].read(place).step in (1, 7)
