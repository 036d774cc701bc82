"""Training never touches the user's cache, and knows one model more than the package."""

import pytest
from xla_cache import compiled_once_in

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
    """Every run compiles its own step."""
    with compiled_once_in(tmp_path_factory.getbasetemp() / "xla"):
        yield
