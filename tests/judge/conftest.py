"""Faces for the judge, drawn once and small, in a cache of their own."""

import pytest

from vae_jax.data import open_dataset


@pytest.fixture(scope="package")
def faces(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return open_dataset("faces:200", (64, 64, 3))
