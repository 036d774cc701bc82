"""The references' optimisers as Optax gradient transformations.

Sources: ``torch.optim.Adam``, which Paddle's equals, and TensorFlow 1's ``AdamOptimizer``, which
adds epsilon to the root before bias correction. ``weight_decay`` is coupled, unlike in AdamW: it is
added to the gradient before the moments, for every parameter, including biases and batch norms.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax

from vae_jax.models import get_spec
from vae_jax.recipe import Recipe


def make_optimizer(name: str, **overrides: object) -> optax.GradientTransformation:
    """Return the optimiser of a model's recipe.

    Args:
        name: one of ``vae_jax.MODELS``.
        **overrides: recipe fields to change, such as ``learning_rate=1e-3``.

    Raises:
        UserError: the model or a field does not exist.
    """
    return optimizer_of(get_spec(name).recipe.replace(**overrides))


def optimizer_of(recipe: Recipe) -> optax.GradientTransformation:
    """Return the recipe's Adam, after gradient clipping and coupled weight decay if it has any."""
    adam = optax.chain(
        scale_by_adam(
            recipe.beta1,
            recipe.beta2,
            recipe.epsilon,
            corrected_epsilon=recipe.epsilon_scaling == "torch",
        ),
        optax.scale_by_learning_rate(recipe.learning_rate),
    )
    before = []
    if recipe.clip_norm > 0:
        before.append(optax.clip_by_global_norm(recipe.clip_norm))
    if recipe.weight_decay > 0:
        before.append(optax.add_decayed_weights(recipe.weight_decay))
    return optax.chain(*before, adam) if before else adam


def scale_by_adam(
    beta1: float, beta2: float, epsilon: float, *, corrected_epsilon: bool = True
) -> optax.GradientTransformation:
    """Return Adam's scaling of gradients, as accurate in float32 as PyTorch's.

    Without ``corrected_epsilon``, epsilon is added to the root of the second moment before the bias
    correction, as in TensorFlow (and the paper's faster form).

    Optax computes the bias correction ``1 - beta2**t`` in float32, where the subtraction cancels:
    its first update has an error of 7e-6. ``-expm1(t log(beta2))`` keeps every digit. The state is
    Optax's ``ScaleByAdamState``.
    """

    def init(params):
        mu, nu = (
            jax.tree.map(jnp.zeros_like, params) for _ in range(2)
        )  # separate buffers to donate
        return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(updates, state, params=None):
        del params
        grads, count = updates, jnp.asarray(optax.safe_increment(state.count))
        mu = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.mu, grads)
        nu = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, state.nu, grads)
        correction1 = _bias_correction(beta1, count)
        correction2 = jnp.sqrt(_bias_correction(beta2, count))

        def direction(m, v):
            scale = correction2.astype(v.dtype)
            if corrected_epsilon:
                denominator = jnp.sqrt(v) / scale + epsilon
            else:
                denominator = (jnp.sqrt(v) + epsilon) / scale
            return m / correction1.astype(m.dtype) / denominator

        return jax.tree.map(direction, mu, nu), optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def _bias_correction(beta: float, count: jax.Array) -> jax.Array:
    """Return ``1 - beta**count`` without cancellation, in the widest float that JAX allows."""
    steps = count.astype(jax.dtypes.canonicalize_dtype(float))
    return -jnp.expm1(steps * math.log(beta)) if beta > 0 else jnp.ones_like(steps)
