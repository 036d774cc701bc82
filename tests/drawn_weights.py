"""Random weights drawn by NumPy: a model's initialisers take seconds to compile."""

import flax.traverse_util
import numpy as np

from vae_jax.models import variable_shapes


def drawn_variables(model, key=None):
    """Variables as wide as an initialisation, biases too; takes a key as ``init_variables`` does,
    and leaves it alone."""
    rng, flat = np.random.default_rng(3), {}
    for path, shape in variable_shapes(model).items():
        scale = 0.3 / np.sqrt(max(np.prod(shape[:-1]), 1))
        flat[path] = rng.normal(0, scale, shape).astype(np.float32)
    return flax.traverse_util.unflatten_dict(flat)
