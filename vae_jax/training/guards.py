"""Explanation of a step whose loss or gradient is not finite: which term and layer, how large.

The state before the step is available, and its batch and noise are functions of the step number, so
the step is taken again with every layer's output recorded.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Callable
from typing import cast

import flax.linen as nn
import jax  # many of its functions have no full hints
import jax.numpy as jnp
import numpy as np

from vae_jax.layers import BatchNorm, Conv, ConvTranspose, Dense
from vae_jax.objectives import Batch, Loss
from vae_jax.training.state import TrainState, named_leaves
from vae_jax.training.step import Inputs, Metrics
from vae_jax.typing import Key, Tree

_LARGE = 1e16  # a sum of many such numbers squared may overflow float32
_LAYERS = (Conv, ConvTranspose, Dense, BatchNorm)


def why_not_finite(loss: Loss, inputs: Inputs, state: TrainState, batch: Batch, key: Key) -> str:
    """Return a phrase that says what is not finite at a step.

    Args:
        loss: the result of ``make_loss``.
        inputs: the inputs that the step was made with.
        state: the state before the step.
        batch: the whole batch, as stored.
        key: the run's key.
    """

    def watched(params: Tree) -> tuple[jax.Array, tuple[Metrics, Metrics]]:
        """Return the loss, its metrics and each layer's largest output, in call order."""
        sizes: Metrics = {}

        def watch(
            call: Callable[..., object],
            args: tuple[object, ...],
            kwargs: dict[str, object],
            context: nn.module.InterceptorContext,
        ) -> object:
            output, layer = call(*args, **kwargs), context.module
            if isinstance(layer, _LAYERS) and context.method_name == "__call__":
                sizes[".".join(layer.path)] = jnp.abs(cast(jax.Array, output)).max()
            return output

        given, noise = inputs(batch, state.step, key)
        with nn.intercept_methods(watch):
            total, (metrics, _) = loss(params, state.batch_stats, given, noise, step=state.step)
        return total, (metrics, sizes)

    take = jax.jit(jax.value_and_grad(watched, has_aux=True))
    (_, (metrics, sizes)), grads = jax.device_get(take(state.params))
    return _terms(metrics) + _layer(sizes) + _gradient(grads)


def _terms(metrics: dict[str, np.ndarray]) -> str:
    wrong = [f"{name} is {value}" for name, value in metrics.items() if not np.isfinite(value)]
    named = [text for text in wrong if not text.startswith("loss ")]
    if wrong:
        return " and ".join(named or wrong).replace("_", " ")
    return f"the loss is {metrics['loss']:.4g}"


def _layer(sizes: dict[str, np.ndarray]) -> str:
    """Return a phrase about the first layer that is not finite, or else the largest output."""
    if not sizes:
        return ""
    for name, size in sizes.items():
        if not np.isfinite(size):
            return f"; the first layer that is not finite is {name} ({size})"
    name = max(sizes, key=sizes.__getitem__)
    return f"; the largest pre-activation is {sizes[name]:.4g}, of {name}"


def _gradient(grads: Tree) -> str:
    leaves = named_leaves(grads, ".")
    wrong = [name for name, leaf in leaves.items() if not np.isfinite(leaf).all()]
    if not wrong:
        sizes = {name: float(np.abs(leaf).max(initial=0.0)) for name, leaf in leaves.items()}
        largest = max(sizes, key=sizes.__getitem__)
        if sizes[largest] < _LARGE:
            return ""
        return f"; the gradient is up to {sizes[largest]:.4g} for {largest}, and Adam squares it"
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"; the gradient is not finite for {wrong[0]}{more}"
