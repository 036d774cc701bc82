"""Conv and ConvTranspose are PyTorch's, for every kernel, stride and padding it accepts."""

import jax
import numpy as np
import pytest
from against_torch import assert_close, positive, relative_error, run_image_layer, run_torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vae_jax.layers import Conv, ConvTranspose

pytestmark = pytest.mark.torch


@st.composite
def geometries(draw, transposed):
    """Numbers of a layer and of an input that PyTorch accepts; height and width differ."""
    kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 4))
    output_padding = draw(st.integers(0, stride - 1)) if transposed else 0
    if transposed:  # (size - 1) * stride - 2 * padding + kernel + output_padding >= 1
        smallest = 1 + max(0, -(-(1 + 2 * padding - kernel - output_padding) // stride))
    else:  # size + 2 * padding >= kernel
        smallest = max(1, kernel - 2 * padding)
    sizes = st.integers(smallest, max(7, smallest + 2))
    height, width = draw(st.lists(sizes, min_size=2, max_size=2, unique=True))
    channels = st.integers(1, 4)
    shape = (draw(st.integers(1, 3)), draw(channels), height, width)
    return kernel, stride, padding, output_padding, shape, draw(channels)


def compare(dtype, geometry, seed, transposed):
    kernel, stride, padding, output_padding, (batch, channels, height, width), features = geometry
    import torch.nn.functional as F

    rng = np.random.default_rng(seed)
    x = positive(rng, batch, channels, height, width, dtype=dtype)
    ends = (channels, features) if transposed else (features, channels)
    weight = positive(rng, *ends, kernel, kernel, dtype=dtype)
    bias = positive(rng, features, dtype=dtype)

    def function(x, weight, bias):
        if transposed:
            return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)
        return F.conv2d(x, weight, bias, stride, padding)

    expected, cotangent = run_torch(function, x, weight, bias, rng)
    if transposed:
        layer = ConvTranspose(features, kernel, stride, padding, output_padding)
        sizes = [(n - 1) * stride - 2 * padding + kernel + output_padding for n in (height, width)]
    else:
        layer = Conv(features, kernel, stride, padding)
        sizes = [(n + 2 * padding - kernel) // stride + 1 for n in (height, width)]
    with jax.enable_x64(True):
        actual = run_image_layer(layer, x, weight, bias, cotangent)
    assert actual["output"].shape == (batch, features, *sizes)
    assert_close(actual, expected, dtype)


FACE_CONV3 = (3, 2, 0, 0, (2, 2, 6, 5), 3)  # rows left over
FACE_DECODER = (3, 2, 1, 1, (2, 3, 4, 5), 2)


@settings(max_examples=6, deadline=None)
@given(geometry=geometries(transposed=False), seed=st.integers(0))
@example(geometry=FACE_CONV3, seed=0)
def test_convolutions_are_pytorchs_in_size_output_and_gradients(geometry, seed):
    compare(np.float64, geometry, seed, transposed=False)


@settings(max_examples=6, deadline=None)
@given(geometry=geometries(transposed=True), seed=st.integers(0))
@example(geometry=FACE_DECODER, seed=0)
@example(geometry=(2, 3, 4, 2, (1, 2, 7, 5), 3), seed=1)  # padding above kernel - 1 crops
@example(geometry=(1, 3, 0, 2, (1, 1, 1, 2), 1), seed=2)  # gaps that no input reaches
def test_transposed_convolutions_are_pytorchs_in_size_output_and_gradients(geometry, seed):
    compare(np.float64, geometry, seed, transposed=True)


def test_both_are_pytorchs_in_float32():
    compare(np.float32, FACE_CONV3, 0, transposed=False)
    compare(np.float32, FACE_DECODER, 0, transposed=True)


@pytest.mark.parametrize(("stride", "output_padding"), [(1, 1), (2, 2), (2, 3), (3, -1)])
def test_output_padding_must_be_below_the_stride(stride, output_padding):
    layer = ConvTranspose(1, 3, stride=stride, output_padding=output_padding)
    with pytest.raises(ValueError, match=f"output_padding is {output_padding}; expected 0 to"):
        layer.init(jax.random.key(0), np.zeros((1, 4, 4, 1), np.float32))


@pytest.mark.parametrize("layer", [Conv(2, 3, stride=2), ConvTranspose(2, 3, stride=2)])
def test_a_float64_input_is_not_narrowed_by_float32_weights(layer):
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        given = jax.random.key(0), np.ones((1, 5, 4, 3))
        output, variables = jax.eval_shape(layer.init_with_output, *given)
        assert variables["params"]["kernel"].dtype == np.float32
        assert output.dtype == np.float64


def transposed_outputs(change):
    """PyTorch's output, and the layer's with ``change`` done to the kernel [k, k, O, I]."""
    import torch.nn.functional as F

    rng = np.random.default_rng(0)
    x, weight, bias = positive(rng, 2, 3, 4, 5), positive(rng, 3, 3, 3, 3), positive(rng, 3)
    expected, cotangent = run_torch(
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1), x, weight, bias, rng
    )
    with jax.enable_x64(True):
        weight = change(weight.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
        layer = ConvTranspose(3, 3, stride=2, padding=1, output_padding=1)
        actual = run_image_layer(layer, x, weight, bias, cotangent)
    return actual["output"], expected["output"]


@pytest.mark.parametrize(
    "change",
    [lambda k: k[::-1, ::-1], lambda k: k.transpose(1, 0, 2, 3), lambda k: k.transpose(0, 1, 3, 2)],
    ids=["kernel not flipped", "height and width swapped", "channels swapped"],
)
def test_the_comparison_sees_a_kernel_laid_out_wrongly(change):
    assert relative_error(*transposed_outputs(change)) > 1e-3


def test_the_comparison_sees_output_padding_on_the_wrong_side():
    import torch.nn.functional as F

    rng = np.random.default_rng(0)
    x, kernel = positive(rng, 1, 4, 5, 2), positive(rng, 3, 3, 3, 2)
    with jax.enable_x64(True):
        right, wrong = (
            jax.lax.conv_transpose(x, kernel, (2, 2), [pads] * 2, transpose_kernel=True)
            for pads in ((1, 2), (2, 1))
        )
    weight = kernel.transpose(3, 2, 0, 1)
    expected, _ = run_torch(
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1),
        x.transpose(0, 3, 1, 2), weight, np.zeros(3), rng,
    )  # fmt: skip
    expected = expected["output"].transpose(0, 2, 3, 1)
    assert relative_error(right, expected) < 1e-13
    assert relative_error(wrong, expected) > 1e-3
