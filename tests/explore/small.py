"""Small models and data to explore."""

import functools

import flax.traverse_util
import numpy as np

from vae_jax.data import Split
from vae_jax.data.dataset import make_dataset
from vae_jax.models import create_model, get_spec, variable_shapes
from vae_jax.pretrained import Pretrained

SIZES = {"digits_vae": {"channels": 2}, "digits_cvae": {"channels": 2}}
SIZES["digits_ae"] = {"latent_size": 14, "hidden_size": 8}


@functools.cache
def trained_of(name):
    """A model with weights drawn without compiling anything."""
    hyper, random = SIZES[name], np.random.default_rng(0)
    shapes = variable_shapes(create_model(name, **hyper))
    leaves = {path: random.normal(0, 0.3, shape) for path, shape in shapes.items()}
    leaves = {path: leaf.astype(np.float32) for path, leaf in leaves.items()}
    variables = flax.traverse_util.unflatten_dict(leaves)
    return Pretrained(name, hyper, variables, get_spec(name).recipe)


def dataset_of(num_images=30):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (num_images, 28, 28, 1), dtype=np.uint8)
    split = Split(images, np.arange(num_images, dtype=np.int32) % 10)
    return make_dataset("some digits", split, None, tuple("0123456789"))
