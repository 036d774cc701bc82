"""The study of face arithmetic, found by path, and attributes of faces that need not be drawn."""

import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

collect_ignore = ["conftest.py"]  # by doctest: there is another module of this name

sys.path.insert(0, str(Path(__file__).parents[3] / "scripts" / "experiments"))
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
