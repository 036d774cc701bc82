"""Dense is ``torch.nn.Linear`` with its kernel transposed."""

import jax
import numpy as np
import pytest
import torch.nn.functional as F
from against_torch import assert_close, positive, run_layer, run_torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.layers import Dense

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@DTYPES
@settings(max_examples=6, deadline=None)
@given(
    batch=st.integers(1, 4),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 9),
    seed=st.integers(0),
)
def test_outputs_and_gradients_are_pytorchs(dtype, batch, inputs, outputs, seed):
    rng = np.random.default_rng(seed)
    x = positive(rng, batch, inputs, dtype=dtype)
    weight, bias = positive(rng, outputs, inputs, dtype=dtype), positive(rng, outputs, dtype=dtype)
    expected, cotangent = run_torch(F.linear, x, weight, bias, rng)
    with jax.enable_x64(True):
        actual = run_layer(Dense(outputs), x, weight.T, bias, cotangent)
    actual["weight"] = actual["weight"].T
    assert_close(actual, expected, dtype)


def test_axes_in_front_of_the_last_are_a_batch():
    layer, x = Dense(3), np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    variables = layer.init(jax.random.key(0), x)
    rows = layer.apply(variables, x.reshape(10, 4))
    np.testing.assert_allclose(layer.apply(variables, x), rows.reshape(2, 5, 3), rtol=1e-6)


def test_a_float64_input_is_not_narrowed_by_float32_weights():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        layer, x = Dense(3), np.ones((2, 4))
        variables = layer.init(jax.random.key(0), x)
        assert variables["params"]["kernel"].dtype == np.float32
        assert layer.apply(variables, x).dtype == np.float64
