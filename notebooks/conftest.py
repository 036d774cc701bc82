"""The notebooks as tests (nbmake): tiny, on the CPU, and what one compiles the next need not."""

import tempfile

import pytest

collect_ignore = ["conftest.py"]  # by doctest: there is another module of this name
_CACHE = pytest.StashKey[str]()


def pytest_configure(config):
    """Makes a folder for XLA's cache, which lasts as long as the run of the tests."""
    folder = tempfile.TemporaryDirectory(prefix="xla-notebooks-")
    config.add_cleanup(folder.cleanup)
    config.stash[_CACHE] = folder.name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Runs a notebook's kernel, which inherits the environment, at its smoke size."""
    environment = {
        "VAE_JAX_SMOKE": "1",
        "JAX_PLATFORMS": "cpu",
        # One device, not the suite's eight; and code that is compiled fast rather than fast.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": item.config.stash[_CACHE],
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return (yield)
