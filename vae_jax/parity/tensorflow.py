"""The TensorFlow 1 original of ``stddev_vae``, and what it computes on given arrays.

Source: tutorial 003 and the repository that it links, as a graph through ``tf.compat.v1``, with
the noise and the batch size made inputs. Everything comes back as NumPy arrays under TensorFlow's
own variable names.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from vae_jax.convert.tf_checkpoint import cpu_session, load_tensorflow
from vae_jax.errors import CheckpointError
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

tf = load_tensorflow("a live comparison with TensorFlow")


def _variables(shape: tuple[int, ...], dtype: Any, bias: int, dense: bool = False):
    """A layer's weight and its bias of zeros, in this order, in the scope in force."""
    v1 = tf.compat.v1
    normal = v1.random_normal_initializer if dense else v1.truncated_normal_initializer
    names = ("Matrix", "bias") if dense else ("w", "b")
    weight = v1.get_variable(names[0], shape, dtype, normal(stddev=0.02))
    return weight, v1.get_variable(names[1], [bias], dtype, v1.zeros_initializer())


def _convolution(x, channels: int, name: str):
    """5x5, stride 2, SAME, then the leaky ReLU of slope 0.2."""
    with tf.compat.v1.variable_scope(name):
        w, b = _variables((5, 5, x.shape[-1], channels), x.dtype, channels)
        x = tf.nn.conv2d(x, w, strides=[1, 2, 2, 1], padding="SAME") + b
    leak = 0.2
    return 0.5 * (1 + leak) * x + 0.5 * (1 - leak) * tf.abs(x)


def _transposed_convolution(x, size: int, channels: int, name: str):
    """5x5, stride 2, SAME, to [B, size, size, channels]; its bias is made and never added."""
    with tf.compat.v1.variable_scope(name):
        w, _ = _variables((5, 5, channels, x.shape[-1]), x.dtype, channels)
        shape = tf.stack([tf.shape(x)[0], size, size, channels])
        return tf.nn.conv2d_transpose(x, w, shape, strides=[1, 2, 2, 1], padding="SAME")


def _dense(x, size: int, name: str):
    """A matrix product and a bias."""
    with tf.compat.v1.variable_scope(name):
        matrix, bias = _variables((x.shape[-1], size), x.dtype, size, dense=True)
        return tf.matmul(x, matrix) + bias


def _stddev_vae(x, noise, latent_size: int = 20, sound_likelihood: bool = False):
    """The outputs and the two loss terms, means over the batch, of images [B, 28, 28, 1]."""
    scope = tf.compat.v1.variable_scope
    with scope("recognition"):
        h = _convolution(_convolution(x, 16, "d_h1"), 32, "d_h2")
        h = tf.reshape(h, [-1, 7 * 7 * 32])
        mean, stddev = (_dense(h, latent_size, name) for name in ("w_mean", "w_stddev"))
    with scope("generation"):
        h = _dense(mean + stddev * noise, 7 * 7 * 32, "z_matrix")
        h = tf.nn.relu(tf.reshape(h, [-1, 7, 7, 32]))
        h = tf.nn.relu(_transposed_convolution(h, 14, 16, "g_h1"))
        logits = _transposed_convolution(h, 28, 1, "g_h2")
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


GRAPHS = {"stddev_vae": _stddev_vae}


class TensorFlowReference:
    """A reference model with its optimiser, in a graph and a session of its own.

    Args:
        name: a model whose original is TensorFlow's: ``stddev_vae``.
        dtype: ``np.float32`` or ``np.float64``.
        tensors: weights to load, where names of no variable (Adam's slots) are left alone;
            default: TensorFlow's own initialisation from ``seed``.
        seed: of that initialisation.
        **hyper: ``latent_size`` and ``sound_likelihood`` (the cross entropy computed from the
            logits) where they differ from the tutorial's.

    Raises:
        CheckpointError: if ``tensors`` lacks a variable or has it in another shape.
    """

    def __init__(
        self, name: str, dtype, tensors: Tensors | None = None, seed: int = 0, **hyper: Any
    ):
        v1, self.dtype = tf.compat.v1, np.dtype(dtype)
        with tf.Graph().as_default() as self.graph:
            v1.set_random_seed(seed)
            latent_size = hyper.get("latent_size", 20)
            self.image = v1.placeholder(self.dtype, [None, 28, 28, 1], "image")
            self.noise = v1.placeholder(self.dtype, [None, latent_size], "noise")
            self.outputs, terms = GRAPHS[name](self.image, self.noise, **hyper)
            self.terms = {"loss": tf.add_n(list(terms.values())), **terms}
            self.variables = {v.op.name: v for v in v1.trainable_variables()}
            found = tf.gradients(self.terms["loss"], list(self.variables.values()))
            pairs = zip(self.variables.items(), found, strict=True)
            self.gradients = {k: tf.zeros_like(v) if g is None else g for (k, v), g in pairs}
        self.session = cpu_session(tf, self.graph)
        self.optimizer: Any = None
        values = {} if tensors is None else self._initial(tensors)
        self.session.run([v.initializer for v in self.variables.values()], values)

    def state_dict(self) -> Tensors:
        """The variables, in the order of their creation."""
        return self.session.run(self.variables)

    def forward(self, image, noise, label=None) -> dict[str, np.ndarray]:
        """The heads [B, L], ``std`` raw and of either sign, and the image [B, 28, 28, 1]."""
        return self.session.run(self.outputs, self._feed(image, noise, label))

    def backward(self, image, noise, label=None) -> tuple[dict[str, float], Tensors]:
        """Loss terms with the total, and every variable's gradient; zeros where it has no part."""
        feed = self._feed(image, noise, label)
        terms, gradients = self.session.run((self.terms, self.gradients), feed)
        return {k: float(v) for k, v in terms.items()}, gradients

    def step(self, recipe: Recipe, image, noise, label=None) -> dict[str, float]:
        """One step of the tutorial's optimiser; the loss terms before it."""
        if self.optimizer is None:
            self._build_optimizer(recipe)
        feed = self._feed(image, noise, label)
        terms, _ = self.session.run((self.terms, self._update), feed)
        return {k: float(v) for k, v in terms.items()}

    def moments(self) -> dict[str, Tensors]:
        """Adam's two moments by variable name, under PyTorch's names of them."""
        assert self.optimizer is not None, "no step taken yet"
        moments = {}
        for moment, name in {"exp_avg": "m", "exp_avg_sq": "v"}.items():
            slots = {k: self.optimizer.get_slot(v, name) for k, v in self.variables.items()}
            values = self.session.run({k: slot for k, slot in slots.items() if slot is not None})
            zeros = {k: np.zeros(v.shape, self.dtype) for k, v in self.variables.items()}
            moments[moment] = zeros | values
        return moments

    def save(self, prefix: str | os.PathLike[str], global_step: int | None = None) -> str:
        """Saves everything, Adam's slots included, as the original does.

        Returns:
            The checkpoint's prefix: ``prefix``, or with the step ``prefix-9``.
        """
        with self.graph.as_default():
            saver = tf.compat.v1.train.Saver()
            return saver.save(self.session, os.fspath(prefix), global_step=global_step)

    def restore(self, prefix: str | os.PathLike[str]) -> None:
        """Restores the model's variables with TensorFlow's own reader; Adam's slots stay."""
        with self.graph.as_default():
            tf.compat.v1.train.Saver(self.variables).restore(self.session, os.fspath(prefix))

    def _build_optimizer(self, recipe: Recipe) -> None:
        with self.graph.as_default():
            # As tensors: from Python floats TensorFlow would keep float32 beta powers, whatever
            # the variables are, an error of 2e-5 in a float64 step.
            numbers = (recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)
            constants = (tf.constant(number, self.dtype) for number in numbers)
            self.optimizer = tf.compat.v1.train.AdamOptimizer(*constants)
            self._update = self.optimizer.minimize(self.terms["loss"])
            initializer = tf.compat.v1.variables_initializer(self.optimizer.variables())
        self.session.run(initializer)

    def _initial(self, tensors: Tensors) -> dict[Any, np.ndarray]:
        """What to feed in the place of the variables' initial values."""
        values = {}
        for name, variable in self.variables.items():
            expected = tuple(variable.shape)
            found = np.shape(tensors[name]) if name in tensors else "nothing"
            if found != expected:
                raise CheckpointError(
                    f"the weights have {found} under {name!r}: expected shape {expected}"
                )
            values[variable.initializer.inputs[1]] = np.asarray(tensors[name], self.dtype)
        return values

    def _feed(self, image, noise, label) -> dict[Any, np.ndarray]:
        assert label is None, "no TensorFlow original has labels"
        arrays = {self.image: image, self.noise: noise}
        return {k: np.asarray(v, self.dtype) for k, v in arrays.items()}


def versions() -> str:
    """The framework and its version, for a report's title."""
    return f"TensorFlow {tf.__version__}"
