"""Batch normalisation with PyTorch's rule for the running statistics.

The statistics are of the whole batch, however many devices share it, unless the recipe asks for
groups (``batch_norm_groups``): then each part of the batch has its own, as it has where each device
normalises alone, and the running ones are the means of theirs.

Source: ``torch.nn.BatchNorm2d``. It differs from Flax's in three ways that a train-mode port must
reproduce: the running variance is the *unbiased* one while the batch is normalised with the biased
one, ``momentum`` is the weight of the new value, and the variance takes two passes.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from vae_jax.layers import across
from vae_jax.layers.sums import along_channels, sum_axes
from vae_jax.typing import AnyArray, Mask


class BatchNorm(nn.Module):
    """Normalises each channel over batch, height and width.

    Variables: parameters ``scale`` and ``bias`` [C]; statistics ``mean`` and ``var`` [C] and
    ``num_batches_tracked`` [].
    """

    momentum: float = 0.1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: AnyArray, *, train: bool = False, mask: Mask | None = None) -> jax.Array:
        """Maps [B, H, W, C] to the same shape.

        Args:
            x: the input.
            train: use the batch's statistics and update the running ones; else use those.
            mask: [B], 1 for the examples that count towards the statistics.
        """
        features = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (features,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (features,), jnp.float32)
        count = self.variable("batch_stats", "num_batches_tracked", jnp.zeros, (), jnp.int32)

        if not train:
            return _normalise(x, running_mean.value, running_var.value, scale, bias, self.epsilon)
        y, mean, var = _in_train_mode(x, mask, scale, bias, self.epsilon)
        if not self.is_initializing():
            for running, new in ((running_mean, mean), (running_var, var)):
                new = new.astype(running.value.dtype)
                running.value = (1 - self.momentum) * running.value + self.momentum * new
            count.value = count.value + jnp.ones((), jnp.asarray(count.value).dtype)
        return y


def _in_train_mode(x, mask, scale, bias, epsilon):
    """``x`` normalised, and its mean and unbiased variance; of groups, the means of theirs."""

    def normalise(x, mask):
        mean, var, size = _moments(x, mask)
        unbiased = var * (size / jnp.maximum(size - 1, 1))
        return _normalise(x, mean, var, scale, bias, epsilon), (mean, unbiased)

    if not across.batch_norm_is_grouped():
        y, (mean, var) = normalise(x, mask)
        return y, mean, var
    groups = across.groups_here()
    mask = jnp.ones(x.shape[:1], x.dtype) if mask is None else mask
    parts, mask = (value.reshape(groups, -1, *value.shape[1:]) for value in (x, mask))
    filled = mask.any(1).astype(x.dtype)
    # Of a padded batch a group may be padding alone, which must not be divided by its variance, 0.
    y, moments = jax.vmap(normalise)(parts, jnp.where(filled[:, None] > 0, mask, 1))
    number = across.total(filled.sum())
    mean, var = (across.total((m * filled[:, None]).sum(0)) / number for m in moments)
    return y.reshape(x.shape), mean, var


def _normalise(x, mean, var, scale, bias, epsilon):
    x, mean, var, scale, bias = promote_dtype(x, mean, var, scale, bias, dtype=None)
    factor = scale / jnp.sqrt(var + epsilon)
    mean, factor, bias = (along_channels(v, x.shape) for v in (mean, factor, bias))
    return (x - mean) * factor + bias


def _moments(x, mask):
    """Mean and biased variance of each channel in two passes, and the number of values."""
    total = (lambda sums: sums) if across.batch_norm_is_grouped() else across.total
    area = x.shape[1] * x.shape[2]
    if mask is None:
        weight, size = 1.0, jnp.asarray(x.shape[0] * area * across.num_devices(), x.dtype)
    else:
        weight = mask.astype(x.dtype).reshape(-1, 1, 1, 1)
        size = total(weight.sum() * area)
    mean = total(sum_axes(weight * x, 0, 3)) / size
    var = total(sum_axes(weight * (x - along_channels(mean, x.shape)) ** 2, 0, 3)) / size
    return mean, var, size
