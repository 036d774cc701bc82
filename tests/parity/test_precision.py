"""Products of rounded factors: the same rounding in JAX and the three frameworks."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from vae_jax.errors import UserError
from vae_jax.parity.precision import (
    PRECISIONS,
    compile_in,
    jax_settings,
    precision_of,
    products_in_jax,
)

ROUNDED = ("tf32", "bfloat16")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 8, 6, 3)).astype(np.float32)
W = RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
COTANGENT = RNG.normal(size=(2, 6, 4, 4)).astype(np.float32)


def rounded(x, bits):
    """To the nearest, ties to even, by arithmetic in float64."""
    fraction, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.rint(fraction * 2.0 ** (bits + 1)), exponent - bits - 1)


def bits_of(name):
    bits = PRECISIONS[name].bits
    assert bits is not None
    return bits


def numbers():
    """Of many magnitudes, with ties and the neighbours of ties."""
    rng = np.random.default_rng(1)
    wide = rng.choice([-1, 1], 4000) * 10.0 ** rng.uniform(-30, 30, 4000)
    ties = [1 + k * 2.0**-n for n in (8, 11) for k in range(-9, 10)]
    exact = np.array([*wide, *ties, 0.0, -0.0], np.float32)
    return np.concatenate([exact, np.nextafter(exact, np.float32(np.inf))])[:-2]


def convolution(x, w):
    return jax.lax.conv_general_dilated(
        x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def of_rounded_factors(bits):
    """The convolution and both its gradients, in float64 of factors rounded beforehand."""
    with jax.enable_x64(True):
        x, w, c = (jnp.asarray(rounded(a, bits)) for a in (X, W, COTANGENT))
        y, pull_back = jax.vjp(convolution, x, w)
        return [np.asarray(a) for a in (y, *pull_back(c))]


def assert_close(found, expected):
    """As float32 sums of the same products are, 1,000 times nearer than other roundings."""
    for own, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, truth, rtol=0, atol=2e-6 * np.abs(truth).max())


def test_the_roundings_are_bfloat16s_and_tf32s():
    x = numbers()
    np.testing.assert_array_equal(rounded(x, 7), x.astype(ml_dtypes.bfloat16).astype(np.float64))
    for name in ROUNDED:
        precision, bits = PRECISIONS[name], bits_of(name)
        assert precision.dtype == np.float32
        truth = rounded(x, bits)
        in_jax = compile_in(precision, lambda a: a[:, None] @ jnp.ones((1, 1), a.dtype))(x)[:, 0]
        np.testing.assert_array_equal(in_jax, truth)
        error = np.abs(truth - x)[x != 0] / np.abs(x[x != 0])
        assert 0.9 < error.max() * 2 ** (bits + 1) <= 1


@pytest.mark.torch
@pytest.mark.parametrize("name", ROUNDED)
def test_pytorch_rounds_the_same(name):
    from vae_jax.parity.backends.pytorch import _RoundedFactors, torch

    x, bits = numbers(), bits_of(name)
    in_torch = _RoundedFactors(bits)._round(torch.tensor(x)).numpy()
    np.testing.assert_array_equal(in_torch, rounded(x, bits))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ROUNDED)
def test_tensorflow_rounds_the_same(name):
    from vae_jax.parity.originals.tensorflow import _rounded, tf

    x, bits = numbers(), bits_of(name)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        in_tensorflow = session.run(_rounded(tf.constant(x), bits))
    np.testing.assert_array_equal(in_tensorflow, rounded(x, bits))


@pytest.mark.paddle
@pytest.mark.parametrize("name", ROUNDED)
def test_paddle_rounds_the_same(name):
    from vae_jax.parity.originals.paddle import _rounded, paddle

    x, bits = numbers(), bits_of(name)
    truth = rounded(x, bits)
    in_paddle = _rounded(paddle.to_tensor(x), bits).numpy()
    tie = np.abs(np.abs(x - truth) - np.abs(x - in_paddle)) == 0  # either neighbour is nearest
    np.testing.assert_array_equal(in_paddle[~tie], truth[~tie])


@pytest.mark.parametrize("name", ROUNDED)
def test_in_jax_the_factors_of_a_convolution_and_of_its_gradients_are_rounded(name):
    def all_three(x, w, c):
        y, pull_back = jax.vjp(jax.jit(convolution), x, w)
        return y, *pull_back(c)

    precision = PRECISIONS[name]
    with jax_settings(precision):
        found = compile_in(precision, all_three)(X, W, COTANGENT)
        plain = jax.jit(all_three)(X, W, COTANGENT)
    expected = of_rounded_factors(precision.bits)
    assert_close(found, expected)
    for own, truth in zip(plain, expected, strict=True):
        assert np.abs(own - truth).max() > 1e-4 * np.abs(truth).max()


@pytest.mark.torch
@pytest.mark.parametrize("name", ROUNDED)
def test_in_pytorch_too(name):
    from vae_jax.parity.backends.pytorch import _RoundedFactors, torch

    bits = bits_of(name)
    x = torch.tensor(X.transpose(0, 3, 1, 2), requires_grad=True)
    w = torch.tensor(W.transpose(3, 2, 0, 1), requires_grad=True)
    with _RoundedFactors(bits):
        y = torch.nn.functional.conv2d(x, w)
        y.backward(torch.tensor(COTANGENT.transpose(0, 3, 1, 2)))
    assert x.grad is not None
    assert w.grad is not None
    found = (y.detach().permute(0, 2, 3, 1), x.grad.permute(0, 2, 3, 1), w.grad.permute(2, 3, 1, 0))
    assert_close([a.numpy() for a in found], of_rounded_factors(bits))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ROUNDED)
def test_in_tensorflow_too(name):
    from vae_jax.parity.originals.tensorflow import Layers, tf

    bits = bits_of(name)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x, w = tf.constant(X), tf.constant(W)
        y = Layers(bits)._product(lambda x, w: tf.nn.conv2d(x, w, 1, "VALID"), x, w)
        gradients = tf.gradients(y, [x, w], [tf.constant(COTANGENT)])
        found = session.run([y, *gradients])
    assert_close(found, of_rounded_factors(bits))


@pytest.mark.paddle
@pytest.mark.parametrize("name", ROUNDED)
def test_in_paddle_too(name):
    from vae_jax.parity.originals.paddle import Conv2D, paddle

    bits = bits_of(name)
    layer = Conv2D(3, 4, 3)
    layer.weight.set_value(W.transpose(3, 2, 0, 1))
    layer.bias.set_value(np.zeros(4, np.float32))
    layer.bits = bits
    x = paddle.to_tensor(X.transpose(0, 3, 1, 2), stop_gradient=False)
    y = layer(x)
    (y * paddle.to_tensor(COTANGENT.transpose(0, 3, 1, 2))).sum().backward()
    found = (
        y.numpy().transpose(0, 2, 3, 1),
        x.grad.numpy().transpose(0, 2, 3, 1),
        layer.weight.grad.numpy().transpose(2, 3, 1, 0),
    )
    assert_close(found, of_rounded_factors(bits))


@pytest.mark.parametrize("name", ROUNDED)
def test_rounding_goes_on_through_a_relu_and_both_layers_gradients(name):
    precision, rng = PRECISIONS[name], np.random.default_rng(2)
    bits = precision.bits
    # Multiples of 2**-12: what is rounded a second time is exact before.
    x, v, w, c = (
        np.round(rng.uniform(-1, 1, shape) * 2**12).astype(np.float32) / 2**12
        for shape in ((5, 4), (4, 6), (6, 3), (5, 3))
    )

    def loss(weights):
        v, w = weights
        return (c * (jax.nn.relu(x @ v) @ w)).sum()

    with jax_settings(precision):
        found = compile_in(precision, jax.grad(loss))((v, w))
    before = (rounded(x, bits) @ rounded(v, bits)).astype(np.float32)
    passed = rounded(c, bits) @ rounded(w, bits).T * (before > 0)
    expected = (
        rounded(x, bits).T @ rounded(passed.astype(np.float32), bits),
        rounded(np.maximum(before, 0), bits).T @ rounded(c, bits),
    )
    assert_close(found, expected)


def test_products_in_a_loop_are_refused_and_other_loops_are_left_as_they_are():
    def scanned(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w), None), x, None, length=3)[0]

    def looped(x, w):
        return jax.lax.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.tanh(s[1] @ w)), (0, x)
        )[1]

    def without(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x + w), None), x, None, length=3)[0]

    rng = np.random.default_rng(3)
    x, w = (rng.normal(size=(4, 4)).astype(np.float32) for _ in range(2))
    for function in (scanned, looped):
        with pytest.raises(UserError, match=r"products inside a (scan|while), whose factors"):
            compile_in(PRECISIONS["bfloat16"], function)(x, w)
    found = compile_in(PRECISIONS["bfloat16"], without)(x, w)
    np.testing.assert_array_equal(found, jax.jit(without)(x, w))


def test_a_rematerialised_product_is_rounded_too():
    rng = np.random.default_rng(3)
    x, w = (rng.normal(size=(4, 4)).astype(np.float32) for _ in range(2))
    plain = jax.value_and_grad(lambda x: jnp.sin(x @ w).sum())
    again = jax.value_and_grad(lambda x: jax.checkpoint(lambda x: jnp.sin(x @ w))(x).sum())
    bfloat16 = PRECISIONS["bfloat16"]
    for a, b in zip(*(compile_in(bfloat16, f)(x) for f in (plain, again)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_arguments_results_and_constants_may_be_any_trees():
    constant = np.eye(2, dtype=np.float32)

    def function(tree, number):
        return {"a": (tree["x"] @ constant, number), "b": [tree["y"], jnp.float32(3)]}

    tree = {"x": np.ones((2, 2), np.float32), "y": np.arange(3)}
    found = compile_in(PRECISIONS["tf32"], function)(tree, 5)
    assert jax.tree.structure(found) == jax.tree.structure(function(tree, 5))
    np.testing.assert_array_equal(found["a"][0], np.ones((2, 2)))
    np.testing.assert_array_equal(found["b"][0], np.arange(3))
    assert (found["a"][1], found["b"][1]) == (5, 3)


@pytest.mark.parametrize("name", PRECISIONS)
def test_settings_are_put_back(name):
    def settings():
        config: Any = jax.config
        return config.jax_enable_x64, config.jax_default_matmul_precision

    before, precision = settings(), PRECISIONS[name]
    with jax_settings(precision):
        assert jnp.asarray(1.0).dtype == precision.dtype
        assert settings() == (name == "float64", "highest")
    assert settings() == before
    with pytest.raises(ZeroDivisionError), jax_settings(precision):
        raise ZeroDivisionError
    assert settings() == before


def test_a_precision_has_a_name_or_is_a_dtype_and_others_are_told():
    assert precision_of("tf32") is PRECISIONS["tf32"]
    assert precision_of(np.float32) is PRECISIONS["float32"]
    assert precision_of(np.dtype("float64")) is PRECISIONS["float64"]
    assert precision_of(PRECISIONS["bfloat16"]) is PRECISIONS["bfloat16"]
    message = "precision 'float16'; expected one of float64, float32, tf32, bfloat16"
    for wrong in ("float16", np.float16):
        with pytest.raises(UserError, match=message):
            precision_of(wrong)


def test_a_report_can_say_how_products_are_computed():
    assert products_in_jax(PRECISIONS["float32"]) == "float32, matmul precision highest"
    assert "rounded to 7 bits" in products_in_jax(PRECISIONS["bfloat16"])
