"""The TensorFlow backend: the original of ``stddev_vae``, in a TensorFlow 1 graph and session.

Everything comes back as NumPy arrays under TensorFlow's own variable names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from vae_jax.convert.tensorflow.library import cpu_session
from vae_jax.errors import CheckpointError
from vae_jax.parity.backends import Backend, Input
from vae_jax.parity.originals.tensorflow import GRAPHS, Layers, tf, versions
from vae_jax.parity.precision import PrecisionLike, precision_of
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

__all__ = ["TensorFlowReference", "versions"]


class TensorFlowReference(Backend):
    """A reference model with its optimiser, in a graph and a session of its own.

    Args:
        name: a model whose original is TensorFlow's: ``stddev_vae``.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: weights to load, where names of no variable (Adam's slots) are left alone;
            default: TensorFlow's own initialisation from ``seed``.
        seed: of that initialisation.
        threads: of the session; with 0 TensorFlow takes as many as it likes.
        **hyper: ``latent_size`` and ``sound_likelihood`` (the cross entropy computed from the
            logits) where they differ from the tutorial's.

    Raises:
        CheckpointError: if ``tensors`` lacks a variable or has it in another shape.
    """

    def __init__(
        self,
        name: str,
        precision: PrecisionLike,
        tensors: Tensors | None = None,
        seed: int = 0,
        threads: int = 1,
        **hyper: object,
    ):
        chosen = precision_of(precision)
        v1, self.dtype, layers = tf.compat.v1, chosen.dtype, Layers(chosen.bits)
        with tf.Graph().as_default() as self.graph:
            v1.set_random_seed(seed)
            latent_size = hyper.get("latent_size", 20)
            self.image = v1.placeholder(self.dtype, [None, 28, 28, 1], "image")
            self.noise = v1.placeholder(self.dtype, [None, latent_size], "noise")
            self.outputs, terms = GRAPHS[name](self.image, self.noise, layers, **hyper)
            self.layers = layers.found
            self.terms = {"loss": tf.add_n(list(terms.values())), **terms}
            self.variables = {v.op.name: v for v in v1.trainable_variables()}
            found = tf.gradients(self.terms["loss"], list(self.variables.values()))
            pairs = zip(self.variables.items(), found, strict=True)
            self.gradients = {k: tf.zeros_like(v) if g is None else g for (k, v), g in pairs}
        self.session = cpu_session(tf, self.graph, threads)
        self.optimizer: Any = None
        self._initialize({} if tensors is None else self._initial(tensors))

    def reset(self, tensors: Tensors) -> None:
        """Take weights, and start the optimiser afresh."""
        self._initialize(self._initial(tensors))
        if self.optimizer is not None:
            self.session.run(self._start_optimizer)

    def state_dict(self) -> Tensors:
        """Return the variables, in the order of their creation."""
        return self.session.run(self.variables)

    def trace(self, *probe: Input, train: bool = False) -> tuple[Tensors, Tensors]:
        """Return what goes into and comes out of each layer, and the outputs; in either mode.

        The outputs are the heads [B, L], ``std`` raw and of either sign, and the image.
        """
        return self.session.run((self.layers, self.outputs), self._feed(probe))

    def backward(self, *probe: Input) -> tuple[dict[str, float], Tensors]:
        """Return the loss terms with the total, and every variable's gradient, 0 where unused."""
        feed = self._feed(probe)
        terms, gradients = self.session.run((self.terms, self.gradients), feed)
        return {k: float(v) for k, v in terms.items()}, gradients

    def step(self, recipe: Recipe, *probe: Input) -> dict[str, float]:
        """Take a step of the tutorial's optimiser and return the loss terms before it."""
        if self.optimizer is None:
            self._build_optimizer(recipe)
        feed = self._feed(probe)
        terms, _ = self.session.run((self.terms, self._update), feed)
        return {k: float(v) for k, v in terms.items()}

    def moments(self) -> dict[str, Tensors]:
        """Return Adam's moments by variable name, under PyTorch's names for them."""
        assert self.optimizer is not None, "no step taken yet"
        moments = {}
        for moment, name in {"exp_avg": "m", "exp_avg_sq": "v"}.items():
            slots = {k: self.optimizer.get_slot(v, name) for k, v in self.variables.items()}
            values = self.session.run({k: slot for k, slot in slots.items() if slot is not None})
            zeros = {k: np.zeros(v.shape, self.dtype) for k, v in self.variables.items()}
            moments[moment] = zeros | values
        return moments

    def updates(
        self, recipe: Recipe, start: np.ndarray, gradients: Iterable[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield a parameter after each of some given gradients: the optimiser by itself."""
        v1 = tf.compat.v1
        with tf.Graph().as_default() as graph:
            parameter = v1.get_variable("parameter", initializer=np.asarray(start, self.dtype))
            given = v1.placeholder(self.dtype, start.shape)
            update = self._adam(recipe).apply_gradients([(given, parameter)])
            begin = v1.global_variables_initializer()
        session = cpu_session(tf, graph)  # entered, it could not take turns with another
        session.run(begin)
        for gradient in gradients:
            session.run(update, {given: np.asarray(gradient, self.dtype)})
            yield session.run(parameter)

    def save(self, prefix: str | os.PathLike[str], global_step: int | None = None) -> str:
        """Save everything, Adam's slots included, as the original does.

        Returns:
            The checkpoint's prefix: ``prefix``, or with the step ``prefix-9``.
        """
        with self.graph.as_default():
            saver = tf.compat.v1.train.Saver()
            return saver.save(self.session, os.fspath(prefix), global_step=global_step)

    def restore(self, prefix: str | os.PathLike[str]) -> None:
        """Restore the model's variables with TensorFlow's own reader; Adam's slots stay."""
        with self.graph.as_default():
            tf.compat.v1.train.Saver(self.variables).restore(self.session, os.fspath(prefix))

    def _build_optimizer(self, recipe: Recipe) -> None:
        with self.graph.as_default():
            self.optimizer = self._adam(recipe)
            self._update = self.optimizer.minimize(self.terms["loss"])
            variables = self.optimizer.variables()
            self._start_optimizer = tf.compat.v1.variables_initializer(variables)
        self.session.run(self._start_optimizer)

    def _adam(self, recipe: Recipe) -> Any:
        # As tensors: from Python floats TensorFlow would keep float32 beta powers, whatever the
        # variables are, an error of 2e-5 in a float64 step.
        numbers = (recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)
        constants = (tf.constant(number, self.dtype) for number in numbers)
        return tf.compat.v1.train.AdamOptimizer(*constants)

    def _initialize(self, values: dict[object, np.ndarray]) -> None:
        """Give the variables their initial values, some of them given."""
        self.session.run([v.initializer for v in self.variables.values()], values)

    def _initial(self, tensors: Tensors) -> dict[object, np.ndarray]:
        """Return what to feed in the place of the variables' initial values."""
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

    def _feed(self, probe: tuple[Input, ...]) -> dict[object, np.ndarray]:
        image, noise, *labels = probe
        assert not any(label is not None for label in labels), "no TensorFlow original has labels"
        arrays = {self.image: image, self.noise: noise}
        return {k: np.asarray(v, self.dtype) for k, v in arrays.items()}
