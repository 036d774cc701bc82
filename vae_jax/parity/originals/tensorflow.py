"""The TensorFlow 1 original of ``stddev_vae`` as a graph through ``tf.compat.v1``.

Source: tutorial 003 and the repository that it links; noise and batch size are inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from vae_jax.convert.tensorflow.library import load_tensorflow
from vae_jax.parity.layers import INPUT

tf = load_tensorflow("a live comparison with TensorFlow")


def _variables(shape: tuple[int, ...], dtype: Any, bias: int, dense: bool = False):
    """Return a layer's weight and its bias of zeros, in this order, in the scope in force."""
    v1 = tf.compat.v1
    normal = v1.random_normal_initializer if dense else v1.truncated_normal_initializer
    names = ("Matrix", "bias") if dense else ("w", "b")
    weight = v1.get_variable(names[0], shape, dtype, normal(stddev=0.02))
    return weight, v1.get_variable(names[1], [bias], dtype, v1.zeros_initializer())


class Layers:
    """The layers of a graph as they are made, with what goes into and comes out of each.

    ``bits``, unless it is None, are those of the fraction to which the factors of every product are
    rounded, in the gradients too.
    """

    def __init__(self, bits: int | None):
        self.bits = bits
        self.found: dict[str, Any] = {}

    def convolution(self, x, channels: int, name: str):
        """Convolve 5x5, stride 2, SAME, then apply the leaky ReLU of slope 0.2."""
        with tf.compat.v1.variable_scope(name) as scope:
            w, b = _variables((5, 5, x.shape[-1], channels), x.dtype, channels)
            y = self._product(lambda x, w: tf.nn.conv2d(x, w, [1, 2, 2, 1], "SAME"), x, w) + b
            self._keep(scope, x, y)
        leak = 0.2
        return 0.5 * (1 + leak) * y + 0.5 * (1 - leak) * tf.abs(y)

    def transposed_convolution(self, x, size: int, channels: int, name: str):
        """Transpose such a convolution, to [B, size, size, channels]; its bias is never added."""
        with tf.compat.v1.variable_scope(name) as scope:
            w, _ = _variables((5, 5, channels, x.shape[-1]), x.dtype, channels)
            shape = tf.stack([tf.shape(x)[0], size, size, channels])
            y = self._product(
                lambda x, w: tf.nn.conv2d_transpose(x, w, shape, [1, 2, 2, 1], "SAME"), x, w
            )
            self._keep(scope, x, y)
        return y

    def dense(self, x, size: int, name: str):
        """Return a matrix product and a bias."""
        with tf.compat.v1.variable_scope(name) as scope:
            matrix, bias = _variables((x.shape[-1], size), x.dtype, size, dense=True)
            y = self._product(tf.matmul, x, matrix) + bias
            self._keep(scope, x, y)
        return y

    def _keep(self, scope, x, y) -> None:
        self.found |= {scope.name + INPUT: x, scope.name: y}

    def _product(self, product, x, w):
        if self.bits is None:
            return product(x, w)
        rounded = functools.partial(_rounded, bits=self.bits)
        factor = tf.custom_gradient(lambda a: (rounded(a), tf.identity))
        result = tf.custom_gradient(lambda a: (tf.identity(a), rounded))
        return result(product(factor(x), factor(tf.identity(w))))


def _rounded(x, bits: int):
    """Return float32 with so many bits of fraction: to the nearest, ties to even."""
    dropped = 23 - bits
    word = tf.bitcast(x, tf.int32)
    odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(word, dropped), 1)
    word = word + ((1 << (dropped - 1)) - 1) + odd
    return tf.bitcast(tf.bitwise.bitwise_and(word, -(1 << dropped)), tf.float32)


def _stddev_vae(x, noise, layers: Layers, latent_size: int = 20, sound_likelihood: bool = False):
    """Return the outputs and the two loss terms, means over the batch, of images [B, 28, 28, 1]."""
    scope = tf.compat.v1.variable_scope
    with scope("recognition"):
        h = layers.convolution(layers.convolution(x, 16, "d_h1"), 32, "d_h2")
        h = tf.reshape(h, [-1, 7 * 7 * 32])
        mean, stddev = (layers.dense(h, latent_size, name) for name in ("w_mean", "w_stddev"))
    with scope("generation"):
        h = layers.dense(mean + stddev * noise, 7 * 7 * 32, "z_matrix")
        h = tf.nn.relu(tf.reshape(h, [-1, 7, 7, 32]))
        h = tf.nn.relu(layers.transposed_convolution(h, 14, 16, "g_h1"))
        logits = layers.transposed_convolution(h, 28, 1, "g_h2")
        image = tf.nn.sigmoid(logits)
    if sound_likelihood:
        loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
    else:
        # The original's order: 1e-8 + 1 is a Python sum, which in float32 is rounded to 1.
        loss = -(x * tf.math.log(1e-8 + image) + (1 - x) * tf.math.log(1e-8 + 1 - image))
    variance = tf.square(stddev)
    divergence = 0.5 * tf.reduce_sum(tf.square(mean) + variance - tf.math.log(variance) - 1, 1)
    terms = {
        "reconstruction": tf.reduce_mean(tf.reduce_sum(tf.reshape(loss, [-1, 28 * 28]), 1)),
        "kl_divergence": tf.reduce_mean(divergence),
    }
    return {"mean": mean, "std": stddev, "image": image}, terms


GRAPHS: dict[str, Callable[..., tuple[dict[str, Any], dict[str, Any]]]] = {
    "stddev_vae": _stddev_vae
}


def versions() -> str:
    """Return the framework and its version, for a report's title."""
    return f"TensorFlow {tf.__version__}"
