"""The fast forms of layers are the plain ones, to any order of differentiation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax.layers.conv import conv2d, conv2d_transpose
from vae_jax.layers.im2col import Windows, col2im, im2col
from vae_jax.layers.product import product
from vae_jax.models import create_model

# function, kernel size, stride, padding (and output padding), channels in and out
LAYERS = {
    "face_vae conv3": (conv2d, 3, (2, 0), 4, 8),
    "digits_vae conv1": (conv2d, 4, (2, 1), 1, 5),
    "digits_vae conv4, narrowing": (conv2d, 3, (1, 1), 6, 1),
    "widening, stride 1": (conv2d, 3, (1, 1), 2, 5),
    "stride 3, 1x1": (conv2d, 1, (3, 0), 3, 2),
    "stddev_vae d_h1": (conv2d, 5, (2, "SAME"), 1, 4),
    "face_vae decoder_conv.0": (conv2d_transpose, 3, (2, 0, 1), 5, 3),
    "digits_vae conv2": (conv2d_transpose, 4, (2, 1), 3, 6),
    "stddev_vae g_h2": (conv2d_transpose, 5, (2, "SAME"), 4, 1),
    "conv_vae, an odd side": (conv2d_transpose, 3, (2, 1, (1, 0)), 3, 2),
    "padding beyond the kernel": (conv2d_transpose, 2, (3, 4, 2), 2, 3),
    "gaps that no input reaches": (conv2d_transpose, 1, (3, 0, 2), 1, 2),
}


def layer_of(name, dtype=np.float64, kernels="cpu"):
    """The layer of (x, kernel), and an x and a kernel for it; height and width differ."""
    function, k, numbers, inputs, outputs = LAYERS[name]
    rng = np.random.default_rng(0)
    ends = (inputs, outputs) if function is conv2d else (outputs, inputs)
    x, kernel = rng.normal(size=(3, 8, 7, inputs)), rng.normal(size=(k, k, *ends))
    return (
        functools.partial(_run, function, numbers, kernels),
        x.astype(dtype),
        kernel.astype(dtype),
    )


def _run(function, numbers, kernels, x, kernel):
    return function(x, kernel, *numbers, kernels=kernels)


def primitives_of(function, *arguments):
    return str(jax.make_jaxpr(function)(*arguments))


def assert_equal(found, expected, tolerance=1e-12):
    found, expected = jax.device_get((found, expected))
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert one.shape == other.shape
        scale = max(np.abs(other).max(), 1e-30)
        assert np.abs(one - other).max() <= tolerance * scale


QUICK = (
    "digits_vae conv1",
    "stddev_vae d_h1",
    "face_vae decoder_conv.0",
    "gaps that no input reaches",
)
SOME = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in LAYERS]


@pytest.mark.parametrize("name", SOME)
def test_output_and_gradients_are_those_of_the_plain_form(name):
    with jax.enable_x64(True):
        found = []
        for kernels in ("cpu", "xla"):
            layer, x, kernel = layer_of(name, kernels=kernels)

            def run(x, kernel, layer=layer):
                y, pullback = jax.vjp(layer, x, kernel)
                return y, pullback(jnp.cos(y))

            found.append(jax.jit(run)(x, kernel))
        assert_equal(*found)


def test_the_backend_decides_which_kernels_are_taken_unless_they_are_given():
    for kernels, taken, other in (
        (None, "col2im", "conv_general_dilated"),
        ("cpu", "col2im", "conv_general_dilated"),
        ("xla", "conv_general_dilated", "col2im"),
    ):
        text = primitives_of(*layer_of("digits_vae conv2", np.float32, kernels))
        assert taken in text
        assert other not in text


def test_a_models_layers_take_the_kernels_that_the_model_is_given():
    image, noise = np.zeros((2, 28, 28, 1), np.float32), np.zeros((2, 2), np.float32)
    model = create_model("digits_vae", channels=2)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image, noise=noise))
    for kernels, taken in ((None, "im2col"), ("xla", "conv_general_dilated")):
        cloned = model.clone(kernels=kernels)
        text = primitives_of(lambda v, m=cloned: m.apply(v, image, noise=noise), variables)
        assert taken in text
        assert ("im2col" in text) == (kernels is None)


def test_of_two_equal_forms_the_one_with_the_narrower_windows_is_taken():
    for name, expected in {
        "digits_vae conv4, narrowing": "col2im",
        "widening, stride 1": "im2col",
    }.items():
        assert expected in primitives_of(*layer_of(name, np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits_vae conv1", "digits_vae conv2"])
def test_forward_mode_second_order_and_vmap_are_those_of_the_plain_form(name):
    with jax.enable_x64(True):
        found = []
        for kernels in ("cpu", "xla"):
            layer, x, kernel = layer_of(name, kernels=kernels)
            found.append(jax.jit(functools.partial(derivatives, layer))(x, kernel))
        assert_equal(*found)


def derivatives(layer, x, kernel):
    def loss(x, kernel):
        return jnp.sin(layer(x, kernel)).sum()

    gradient = jax.grad(loss, argnums=(0, 1))(x, kernel)
    tangent = jax.jvp(layer, (x, kernel), (x, kernel))
    product_of_hessian = jax.jvp(jax.grad(loss), (x, kernel), (x, kernel))
    kernels = jnp.stack([kernel, 2 * kernel])
    ensemble = jax.vmap(jax.grad(loss, argnums=1), (None, 0))(x, kernels)
    images = jax.vmap(lambda x: layer(x[None], kernel), in_axes=3, out_axes=1)(
        jnp.moveaxis(x, 0, 3)
    )
    return gradient, tangent, product_of_hessian, ensemble, images


def test_each_map_between_images_and_windows_is_the_others_transpose():
    windows = Windows((8, 7), (3, 4), (2, 1), ((1, 2), (-1, 3)))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 7, 3)).astype(np.float32)
    columns = rng.normal(size=(2, *windows.counts, 3, 4, 3)).astype(np.float32)
    assert im2col(x, windows).shape == columns.shape
    left, right = (im2col(x, windows) * columns).sum(), (x * col2im(columns, windows)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-4)
    gradient = jax.grad(lambda x: (im2col(x, windows) * columns).sum())(x)
    np.testing.assert_allclose(gradient, col2im(columns, windows), rtol=1e-6)


def test_windows_are_the_pixels_where_they_lie():
    x = np.arange(2 * 4 * 5, dtype=np.float32).reshape(2, 4, 5, 1)
    found = im2col(x, Windows((4, 5), (2, 2), (2, 3), ((0, 0), (1, 0))))
    assert found.shape == (2, 2, 2, 2, 2, 1)
    np.testing.assert_array_equal(found[0, 0, 0, :, :, 0], [[0, 0], [0, 5]])
    np.testing.assert_array_equal(found[1, 1, 1, :, :, 0], [[32, 33], [37, 38]])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 7, 3), (40, 9, 4), (3, 300, 2)])
def test_a_product_and_its_gradients_are_the_plain_ones(shape):
    rows, inputs, outputs = shape
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, kernel = rng.normal(size=(rows, inputs)), rng.normal(size=(inputs, outputs))

        def run(multiply, x, kernel):
            y, pullback = jax.vjp(multiply, x, kernel)
            return y, pullback(jnp.cos(y))

        found = jax.jit(functools.partial(run, product))(x, kernel)
        assert_equal(found, jax.jit(functools.partial(run, jnp.matmul))(x, kernel))
        assert_equal(
            jax.vmap(product, (None, 1))(x, np.stack([kernel, kernel], 1)),
            np.stack([x @ kernel] * 2),
        )
