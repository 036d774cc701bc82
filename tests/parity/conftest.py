"""What several comparisons compile is compiled once."""

import jax
import pytest
from xla_cache import compiled_once_in


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory):
    """Every port compiles its own functions."""
    with compiled_once_in(tmp_path_factory.getbasetemp() / "xla_parity"):
        yield


@pytest.fixture(scope="module")
def quick_to_compile():
    """Half of XLA's time, for tests of what a comparison catches and not of how near it comes."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
