"""Attributes of faces that need not be drawn."""

import numpy as np
import pytest
from jaxtyping import install_import_hook

collect_ignore = ["conftest.py"]  # by doctest: there is another module of this name

install_import_hook("face_arithmetic", "beartype.beartype")


@pytest.fixture(scope="session")
def known():
    """Return attributes of 160 faces, 40 a group, with frames from dark to light."""
    glasses = np.repeat(["yes", "yes", "no", "no"], 40)
    return {
        "glasses": glasses,
        "person": np.repeat(["man", "woman", "man", "woman"], 40),
        "frame_lightness": np.where(glasses == "yes", np.tile(np.linspace(0, 1, 40), 4), np.nan),
    }
