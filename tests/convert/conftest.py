"""The frameworks whose files are compared, imported when a test asks for one of them."""

import warnings

import pytest


@pytest.fixture(scope="session")
def paddle():
    """Paddle itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("paddle")


@pytest.fixture(scope="session")
def twin():
    """The module of the originals in TensorFlow."""
    return pytest.importorskip("vae_jax.parity.backends.tensorflow", exc_type=ImportError)
