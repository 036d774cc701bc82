"""TensorFlow at work on ``stddev_vae``: in a session as the original, and as TensorFlow 2 can."""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.benchmark.runs import Run
from vae_jax.benchmark.tasks import Task
from vae_jax.parity.backends.tensorflow import TensorFlowReference
from vae_jax.parity.originals.tensorflow import GRAPHS, Layers, tf


def build(task: Task, name: str) -> Run:
    """The training of a task: under ``tf.function``, with XLA's compiler or without, or in a
    session."""
    images = task.floats()
    if name == "TensorFlow as written":
        step: Any = _session_step(task)
    else:
        step = tf.function(_make_step(task), jit_compile=True if "compiled" in name else None)
    if task.work == "step":
        images = images if name == "TensorFlow as written" else tf.constant(images)

    rng = np.random.default_rng(0)

    def run(count: int) -> float:
        loss: Any = None
        for _ in range(count):
            if task.work == "step":
                loss = step(images)
                continue
            order = rng.permutation(len(images))
            for start in range(0, task.images, task.batch_size):
                loss = step(images[order[start : start + task.batch_size]])
        return float(loss)

    return run


def _session_step(task: Task) -> Any:
    reference = TensorFlowReference(task.model, np.float32, threads=0, **task.hyper)
    recipe, shape = task.recipe, (task.batch_size, task.module.latent_size)
    rng = np.random.default_rng(0)

    def step(images: np.ndarray) -> float:
        noise = rng.standard_normal(shape, np.float32)
        return reference.step(recipe, images, noise)["loss"]

    return step


def _make_step(task: Task) -> Any:
    """The step on variables of its own, to be traced by ``tf.function``."""
    recipe, size, store = task.recipe, task.module.latent_size, {}
    v1: Any = tf.compat.v1
    adam = v1.train.AdamOptimizer(recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)

    def own(getter: Any, name: str, shape: Any, dtype: Any, initializer: Any, **_: Any) -> Any:
        del getter
        if name not in store:
            with tf.init_scope():
                store[name] = tf.Variable(initializer(shape, dtype), name=name)
        return store[name]

    def step(images: Any) -> Any:
        noise = tf.random.normal([task.batch_size, size])
        with tf.GradientTape() as tape, v1.variable_scope("vae", custom_getter=own):
            _, terms = GRAPHS[task.model](images, noise, Layers(None), **task.hyper)
            loss = tf.add_n(list(terms.values()))
        variables = list(store.values())
        pairs = zip(tape.gradient(loss, variables), variables, strict=True)
        # The biases of the transposed convolutions are never added.
        adam.apply_gradients([(g, v) for g, v in pairs if g is not None])
        return loss

    return step
