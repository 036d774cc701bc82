"""One layer in both frameworks: outputs and gradients as NumPy arrays in PyTorch's axis order.

The numbers are positive, so that no sum cancels and a relative error means what it says.
"""

import jax
import numpy as np

TOLERANCES = {np.float64: 1e-13, np.float32: 1e-5}


def positive(rng, *shape, dtype=np.float64):
    return rng.uniform(0.5, 1.5, shape).astype(dtype)


def relative_error(actual, expected):
    """Largest difference as a part of the largest expected value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    if actual.size == 0:
        return 0.0
    return np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-300)


def assert_close(actual: dict, expected: dict, dtype):
    """Every array by name: the same dtype, within the precision's tolerance."""
    assert actual.keys() == expected.keys()
    for name in expected:
        assert actual[name].dtype == expected[name].dtype == dtype, name
        assert relative_error(actual[name], expected[name]) < TOLERANCES[dtype], name


def run_torch(function, x, weight, bias, rng):
    """Output, gradients towards input, weight and bias, and the cotangent they belong to."""
    import torch

    leaves = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    output = function(*leaves)
    cotangent = positive(rng, *output.shape, dtype=x.dtype)
    output.backward(torch.tensor(cotangent))
    names = ("input", "weight", "bias")
    gradients = {n: leaf.grad.numpy() for n, leaf in zip(names, leaves, strict=True)}
    return {"output": output.detach().numpy(), **gradients}, cotangent


def run_layer(layer, x, kernel, bias, cotangent):
    """The same of a Flax layer, in the layer's own axis order."""

    @jax.jit
    def run(params, x, cotangent):
        output, pullback = jax.vjp(lambda p, x: layer.apply({"params": p}, x), params, x)
        return output, *pullback(cotangent)

    output, params, of_x = run({"kernel": kernel, "bias": bias}, x, cotangent)
    arrays = {"output": output, "input": of_x, "weight": params["kernel"], "bias": params["bias"]}
    return {name: np.asarray(array) for name, array in arrays.items()}


def nhwc(array):
    return array.transpose(0, 2, 3, 1)


def nchw(array):
    return array.transpose(0, 3, 1, 2)


def run_image_layer(layer, x, weight, bias, cotangent):
    """``run_layer`` of a convolution, with arrays as PyTorch lays them out on both sides."""
    result = run_layer(layer, nhwc(x), weight.transpose(2, 3, 1, 0), bias, nhwc(cotangent))
    result["output"], result["input"] = nchw(result["output"]), nchw(result["input"])
    result["weight"] = result["weight"].transpose(3, 2, 0, 1)
    return result
