"""Training never touches the user's cache, and knows one model more than the package."""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from vae_jax.models import MODELS

from . import tiny


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VAE_JAX_CACHE", str(tmp_path_factory.getbasetemp() / "vae_jax_cache"))


@pytest.fixture(scope="package", autouse=True)
def tiny_vae():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny_vae", tiny.TINY_VAE)
        yield


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory):
    """Every run compiles its own step; XLA's cache on disk makes the second one quick."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.getbasetemp() / "xla"),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
