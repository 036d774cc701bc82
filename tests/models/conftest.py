"""Models that are initialised once for all tests: ``face_vae`` has 63 million parameters."""

import functools

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import vae_jax
from vae_jax.models import init_variables
from vae_jax.parity.originals.pytorch import RUNNERS


def init_shapes(model):
    """Every leaf's shape by path, as Flax would create it."""
    tree = jax.eval_shape(lambda key: init_variables(model, key), jax.random.key(0))
    return flax.traverse_util.flatten_dict(tree)


@pytest.fixture(scope="session")
def initial_variables():
    """Name to the variables of key 0, cached."""

    @functools.cache
    def create(name):
        return init_variables(vae_jax.create_model(name), jax.random.key(0))

    return create


@pytest.fixture(scope="session")
def torch_tensors():
    """Name to the state dict of a fresh PyTorch original, cached."""

    @functools.cache
    def create(name):
        torch.manual_seed(0)
        model = RUNNERS[name].module()
        parameters = {key for key, _ in model.named_parameters()}
        return {
            key: value.detach().numpy() for key, value in model.state_dict().items()
        }, parameters

    return create


@pytest.fixture(scope="session")
def random_tensors():
    """Name to reference tensors of random bits: NaNs and denormals must survive too."""

    def create(name, **hyper):
        model, rng = vae_jax.create_model(name, **hyper), np.random.default_rng(0)
        shapes, tensors = init_shapes(model), {}
        for rule in vae_jax.MODELS[name].rules(model):
            leaf = shapes[rule.target]
            shape = rule.to_source(np.broadcast_to(np.int8(0), leaf.shape)).shape
            if jnp.issubdtype(leaf.dtype, jnp.integer):
                tensors[rule.source] = np.full(shape, 12345, np.int64)
            else:
                bits = rng.integers(0, 2**32, shape, np.uint32)
                tensors[rule.source] = bits.view(np.float32).reshape(shape)
        return tensors

    return create


@pytest.fixture(scope="session")
def shapes_of():
    return init_shapes
