"""What several comparisons compile is compiled once."""

import pytest
from xla_cache import compiled_once_in


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory):
    """Every port compiles its own functions."""
    with compiled_once_in(tmp_path_factory.getbasetemp() / "xla_parity"):
        yield
