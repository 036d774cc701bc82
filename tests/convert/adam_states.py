"""Made-up states of Adam, and the small models that they are of."""

from typing import Any

import numpy as np
import numpy.typing as npt

from vae_jax.convert.optimizer import AdamState, parameter_shapes

AE: dict[str, Any] = {"latent_size": 2, "hidden_size": 3}
SMALL: dict[str, dict[str, Any]] = {
    "digits_ae": AE,
    "conv_vae": {"image_shape": (6, 5, 1), "widths": (2, 3), "latent_size": 2, "batch_norm": True},
    "digits_vae": {"channels": 4},
    "stddev_vae": {"latent_size": 3},
}
ADVICE = "; train --fresh-optimizer imports only the weights"


def made_up(name, dtype: npt.DTypeLike = np.float32):
    """A state whose every number is another."""
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(name, **SMALL[name])
    exp_avg = {k: rng.standard_normal(s).astype(dtype) for k, s in shapes.items()}
    exp_avg_sq = {k: rng.random(s).astype(dtype) for k, s in shapes.items()}
    return AdamState(12, exp_avg, exp_avg_sq, {})


def assert_same_state(found, expected):
    """Bit for bit, whatever the settings."""
    assert found.step == expected.step
    for one, other in ((found.exp_avg, expected.exp_avg), (found.exp_avg_sq, expected.exp_avg_sq)):
        assert one.keys() == other.keys()
        for name, array in other.items():
            assert (one[name].dtype, one[name].shape) == (array.dtype, array.shape)
            assert one[name].tobytes() == array.tobytes(), name
