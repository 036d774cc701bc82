"""Dense is ``torch.nn.Linear`` with its kernel transposed."""

import jax
import numpy as np
import pytest
from against_torch import assert_close, positive, run_layer, run_torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_jax.layers import Dense


def compare(dtype, batch, inputs, outputs, seed):
    import torch.nn.functional as F

    rng = np.random.default_rng(seed)
    x = positive(rng, batch, inputs, dtype=dtype)
    weight, bias = positive(rng, outputs, inputs, dtype=dtype), positive(rng, outputs, dtype=dtype)
    expected, cotangent = run_torch(F.linear, x, weight, bias, rng)
    with jax.enable_x64(True):
        actual = run_layer(Dense(outputs), x, weight.T, bias, cotangent)
    actual["weight"] = actual["weight"].T
    assert_close(actual, expected, dtype)


@pytest.mark.torch
@settings(max_examples=4, deadline=None)
@given(
    batch=st.integers(1, 4),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 9),
    seed=st.integers(0),
)
def test_outputs_and_gradients_are_pytorchs(batch, inputs, outputs, seed):
    compare(np.float64, batch, inputs, outputs, seed)


@pytest.mark.torch
def test_so_are_they_in_float32():
    compare(np.float32, 4, 40, 9, 0)


def test_axes_in_front_of_the_last_are_a_batch():
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 5, 4), (4, 3)))
    layer = jax.jit(Dense(3).apply)
    variables = {"params": {"kernel": kernel, "bias": kernel[0]}}
    rows = layer(variables, x.reshape(10, 4))
    np.testing.assert_allclose(layer(variables, x), rows.reshape(2, 5, 3), rtol=1e-6)


def test_a_float64_input_is_not_narrowed_by_float32_weights():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        given = jax.random.key(0), np.ones((2, 4))
        output, variables = jax.eval_shape(Dense(3).init_with_output, *given)
        assert variables["params"]["kernel"].dtype == np.float32
        assert output.dtype == np.float64
