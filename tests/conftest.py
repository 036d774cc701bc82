"""Strict JAX for every test: no silent promotion, eight virtual devices, warnings are errors."""

import importlib.util
import os
import sys
from pathlib import Path

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + (
    " --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # 5 % of the time to compile

import pytest
from jaxtyping import install_import_hook

# Tests of how near numbers come run what XLA makes of the package as it ships. For all others XLA
# leaves most of its optimisations out, which takes a quarter off the time to compile.
OPTIMISED = ("layers", "models", "parity", "training/test_parallel.py")
TESTS = Path(__file__).parent

collect_ignore = ["conftest.py"]  # by doctest: there is another module of this name

install_import_hook("vae_jax", "beartype.beartype")


def pytest_xdist_auto_num_workers(config):
    """Return 0, no further process, for files and tests that are named one by one."""
    return 0 if all(".py" in argument for argument in config.args) else None


def pytest_sessionstart(session):
    """Make JAX strict where tests run; the process that starts xdist's needs no JAX."""
    if not session.config.getoption("numprocesses", None):
        import jax

        jax.config.update("jax_numpy_dtype_promotion", "strict")
        jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Set how far XLA optimises, here and in processes started here; skip missing frameworks."""
    optimised = any(item.path.is_relative_to(TESTS / name) for name in OPTIMISED)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(not optimised))
    if "jax" in sys.modules:
        import jax

        jax.config.update("jax_disable_most_optimizations", not optimised)
    for framework in ("torch", "paddle", "tensorflow"):
        if item.get_closest_marker(framework) and importlib.util.find_spec(framework) is None:
            pytest.skip(f"{framework} is not installed")


@pytest.fixture
def unchecked():
    """Switches off the type checks, which only tests run under, so that the package's are seen."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
