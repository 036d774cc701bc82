"""Sums that are what they should be, and nearer to it in float32 than a plain one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.layers.sums import along_channels, matmul, sum_axes

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape)


def plain_sum(x, first, count):
    return x.sum(tuple(range(first, first + count)))


def plain_along(values, shape):
    return jnp.broadcast_to(values, shape)


def assert_same(function, plain, *arguments):
    """Values, gradients, tangents and batches are the plain form's, in float64."""
    with jax.enable_x64(True):
        arguments = [jnp.asarray(a) for a in arguments]
        weights = jnp.asarray(normal(*jax.eval_shape(plain, *arguments).shape))

        def everything(f):
            def loss(*arguments):
                return (weights * f(*arguments) ** 2).sum()

            def run(*arguments):
                tangents = tuple(jnp.cos(a) for a in arguments)
                batches = [jnp.stack([a, 2 * a, a - 1]) for a in arguments]
                gradients = jax.grad(loss, tuple(range(len(arguments))))(*arguments)
                return jax.jvp(f, arguments, tangents), gradients, jax.vmap(f)(*batches)

            return jax.jit(run)(*arguments)

        for found, expected in zip(
            *(jax.tree.leaves(everything(f)) for f in (function, plain)), strict=True
        ):
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "first", "count"),
    [
        ((2, 3, 4, 5), 1, 3),
        ((2, 3, 4, 5), 0, 4),
        ((2, 3, 4, 5), 1, 2),
        ((6,), 0, 1),
        ((6, 2), 1, 1),
    ],
)
def test_sum_axes_is_a_sum_over_axes(shape, first, count):
    assert_same(
        lambda x: sum_axes(x, first, count), lambda x: plain_sum(x, first, count), normal(*shape)
    )


def test_a_sum_over_no_axes_is_the_array():
    x = normal(2, 3).astype(np.float32)
    np.testing.assert_array_equal(sum_axes(x, 1, 0), x)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 1568), (1568, 20)),  # in parts
        ((3, 2, 1024), (1024, 64)),
        ((1568,), (1568, 4)),
        ((2, 1568), (1568, 65)),  # plain: too wide, too short, not a multiple of eight
        ((2, 784), (784, 20)),
        ((2, 1570), (1570, 20)),
    ],
)
def test_matmul_is_a_matrix_product(left, right):
    assert_same(matmul, lambda x, k: x @ k, normal(*left), normal(*right) / np.sqrt(right[0]))


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 4, 3, 5)])
def test_along_channels_is_a_broadcast_whose_gradient_is_a_sum(shape):
    assert_same(lambda v: along_channels(v, shape), lambda v: plain_along(v, shape), normal(5))


def errors(function, plain, *arguments):
    """The relative root mean square errors of both in float32, the truth being in float64."""
    single = [np.asarray(a, np.float32) for a in arguments]
    with jax.enable_x64(True):
        truth = np.asarray(plain(*(jnp.asarray(a, jnp.float64) for a in single)))
    found = []
    for f in (function, plain):
        error = np.asarray(jax.jit(f)(*single), np.float64) - truth
        found.append(np.sqrt(np.mean(error**2)) / np.abs(truth).max())
    return found


def test_the_squared_error_of_a_few_images_is_nearer_to_the_truth_than_a_single_sum():
    # From some thousand numbers on XLA adds in blocks by itself.
    pair = normal(4, 28, 28, 1), normal(4, 28, 28, 1)
    ours, plain = errors(
        lambda x, y: sum_axes((x - y) ** 2, 1, 3),
        lambda x, y: plain_sum((x - y) ** 2, 1, 3),
        *pair,
    )
    assert ours < plain / 2


@pytest.mark.parametrize("batch", [1, 64])
def test_a_sum_of_any_size_is_within_a_few_roundings_of_the_truth(batch):
    for count in (3, 4):
        x = normal(batch, 28, 28, 1) ** 2
        ours, _ = errors(
            lambda x, c=count: sum_axes(x, 4 - c, c), lambda x, c=count: plain_sum(x, 4 - c, c), x
        )
        assert ours < 2.0**-22


def test_a_long_narrow_product_is_nearer_to_the_truth_than_a_plain_one():
    ours, plain = errors(matmul, lambda x, k: x @ k, normal(32, 3136), normal(3136, 2))
    assert ours < plain / 1.5


@pytest.mark.parametrize(("shape", "nearer"), [((4, 28, 28, 1), 2.0), ((16, 28, 28, 8), 0.1)])
def test_the_gradient_of_a_bias_is_an_accurate_sum(shape, nearer):
    def gradient(spread, values, cotangent):
        return jax.vjp(lambda v: spread(v, shape), values)[1](cotangent)[0]

    ours, plain = errors(
        functools.partial(gradient, along_channels),
        functools.partial(gradient, plain_along),
        normal(shape[-1]),
        normal(*shape) + 1,
    )
    assert ours < plain / nearer
    assert ours < 2.0**-22
