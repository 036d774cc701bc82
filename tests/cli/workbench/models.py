"""The models of these tests, what they compute, and groups of their images."""

from typing import Any

import numpy as np

from vae_jax.data import open_dataset
from vae_jax.models import create_model

from ..test_latents_commands import SMALL, random_weights

SIZES = {"digits_vae": SMALL | {"latent_size": 3}, "digits_cvae": SMALL}
GROUPS = ("--group", "one=0,3,14", "--group", "two=1,5", "--group", "three=-1,-2,-3")
SHAPE = (28, 28, 1)


def apply(name, method, values, *label) -> Any:
    hyper = SIZES[name]
    model, variables = create_model(name, **hyper), random_weights(name, **hyper)
    return model.apply(variables, values, *label, method=method)


def means(data, numbers, name="digits_vae", *label):
    images = open_dataset(data, SHAPE).train.images[numbers]
    x = images.astype(np.float32) / 127.5 - 1
    return np.asarray(apply(name, "encode", x, *label).mean)


def pictures_of(z, name="digits_vae", *label):
    return (np.asarray(apply(name, "decode", np.float32(z), *label)) + 1) / 2


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
