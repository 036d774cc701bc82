"""Batch normalisation with PyTorch's rule for the running statistics.

Source: ``torch.nn.BatchNorm2d``. It differs from Flax's in three ways that a train-mode port must
reproduce: the running variance is the *unbiased* one while the batch is normalised with the biased
one, ``momentum`` is the weight of the new value, and the variance takes two passes.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

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

        if train:
            mean, var, size = _moments(x, mask)
            if not self.is_initializing():
                unbiased = var * (size / jnp.maximum(size - 1, 1))
                for running, new in ((running_mean, mean), (running_var, unbiased)):
                    new = new.astype(running.value.dtype)
                    running.value = (1 - self.momentum) * running.value + self.momentum * new
                count.value = count.value + jnp.ones((), jnp.asarray(count.value).dtype)
        else:
            mean, var = running_mean.value, running_var.value
        x, mean, var, scale, bias = promote_dtype(x, mean, var, scale, bias, dtype=None)
        factor = scale / jnp.sqrt(var + self.epsilon)
        mean, factor, bias = (along_channels(v, x.shape) for v in (mean, factor, bias))
        return (x - mean) * factor + bias


def _moments(x, mask):
    """Mean and biased variance of each channel in two passes, and the number of values."""
    area = x.shape[1] * x.shape[2]
    weight, size = 1.0, jnp.asarray(x.shape[0] * area, x.dtype)
    if mask is not None:
        weight = mask.astype(x.dtype).reshape(-1, 1, 1, 1)
        size = weight.sum() * area
    mean = sum_axes(weight * x, 0, 3) / size
    var = sum_axes(weight * (x - along_channels(mean, x.shape)) ** 2, 0, 3) / size
    return mean, var, size
