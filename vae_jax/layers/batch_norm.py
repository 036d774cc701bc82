"""Batch normalisation with PyTorch's rule for the running statistics.

Source: ``torch.nn.BatchNorm2d``. It differs from Flax's in three ways that a train-mode port must
reproduce: the running variance is the *unbiased* one while the batch is normalised with the biased
one, ``momentum`` is the weight of the new value, and the variance takes two passes.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import math
from functools import partial

import flax.linen as nn
import jax  # many of its functions have no full hints
import jax.numpy as jnp
import numpy as np
from flax.linen import dtypes

from vae_jax.errors import UserError
from vae_jax.layers.collectives import axis_size, psum
from vae_jax.layers.kernels import inherited
from vae_jax.layers.sums import along_channels, sum_axes
from vae_jax.typing import AnyArray, Mask

_Affine = tuple[AnyArray, AnyArray, float]  # scale, bias and epsilon
_WithMoments = tuple[jax.Array, jax.Array, jax.Array]


class BatchNorm(nn.Module):
    """Batch normalisation of each channel over batch, height and width.

    Variables: parameters ``scale`` and ``bias`` [C]; statistics ``mean`` and ``var`` [C] and
    ``num_batches_tracked`` [].

    Attributes:
        momentum: weight of a batch's statistics in the running ones.
        epsilon: added to the variance.
        axis_name: the axis of devices under ``pmap``; None if the program sees the whole batch.
        batch_norm_groups: the number of parts of the batch, over all devices, that are normalised
            separately; the running statistics are the means of theirs. None means 1: the whole
            batch is normalised together.

    ``axis_name`` and ``batch_norm_groups`` default to the enclosing module's.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None
    batch_norm_groups: int | None = None

    @nn.compact
    def __call__(self, x: AnyArray, *, train: bool = False, mask: Mask | None = None) -> jax.Array:
        """Normalise [B, H, W, C].

        Args:
            x: the input.
            train: use the batch's statistics and update the running ones, instead of using those.
            mask: [B], 1 for the examples that count towards the statistics.

        Raises:
            UserError: in train mode a channel has a single value, which would become 0 whatever
                it is.
        """
        features, stats = x.shape[-1], "batch_stats"
        scale = self.param("scale", nn.initializers.ones, (features,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (features,), jnp.float32)
        running_mean = self.variable(stats, "mean", lambda: jnp.zeros((features,), jnp.float32))
        running_var = self.variable(stats, "var", lambda: jnp.ones((features,), jnp.float32))
        count = self.variable(stats, "num_batches_tracked", lambda: jnp.zeros((), jnp.int32))

        affine = scale, bias, self.epsilon
        if not train:
            return _normalise(x, running_mean.value, running_var.value, affine)
        axis_name = inherited(self, "axis_name")
        groups = inherited(self, "batch_norm_groups", 1)
        values = math.prod(x.shape[:-1]) * axis_size(axis_name)
        if values <= groups and not self.is_initializing():
            raise UserError(
                f"the batch norm {'.'.join(self.path) or type(self).__name__} would normalise "
                f"single values in train mode: a batch of shape {list(x.shape)}, groups: {groups}; "
                "expected 2 or more values per channel: choose a larger batch"
            )
        if groups == 1:
            y, mean, var = _normalise_batch(x, mask, affine, axis_name)
        else:
            y, mean, var = _normalise_groups(x, mask, affine, axis_name, groups)
        if not self.is_initializing():
            for running, new in ((running_mean, mean), (running_var, var)):
                new = new.astype(running.value.dtype)
                running.value = (1 - self.momentum) * running.value + self.momentum * new
            count.value = count.value + jnp.ones((), jnp.asarray(count.value).dtype)
        return y


def _normalise_batch(
    x: AnyArray, mask: AnyArray | None, affine: _Affine, axis_name: str | None
) -> _WithMoments:
    """Normalise ``x``; return it with its mean and unbiased variance."""
    mean, var, size = _moments(x, mask, axis_name)
    unbiased = var * (size / jnp.maximum(size - 1, 1))
    return _normalise(x, mean, var, affine), mean, unbiased


def _normalise_groups(
    x: AnyArray, mask: AnyArray | None, affine: _Affine, axis_name: str | None, groups: int
) -> _WithMoments:
    """Normalise each group of ``x``; return it with the means of the groups' moments."""
    mask = jnp.ones(x.shape[:1], x.dtype) if mask is None else mask
    # Each device holds whole groups (``Parallel.width``), so no moment needs another device.
    here = groups // axis_size(axis_name)
    parts, mask = (value.reshape(here, -1, *value.shape[1:]) for value in (x, mask))
    filled = mask.any(1).astype(x.dtype)
    # A group that is all padding is computed without its mask, under which its mean is 0 / 0.
    whole = partial(_normalise_batch, affine=affine, axis_name=None)
    y, *moments = jax.vmap(whole)(parts, jnp.where(filled[:, None] > 0, mask, 1))
    number = psum(filled.sum(), axis_name)
    mean, var = (psum((m * filled[:, None]).sum(0), axis_name) / number for m in moments)
    return y.reshape(x.shape), mean, var


def _normalise(x: AnyArray, mean: jax.Array, var: jax.Array, affine: _Affine) -> jax.Array:
    scale, bias, epsilon = affine
    y, mean, var, scale, bias = dtypes.promote_dtype(x, mean, var, scale, bias, dtype=None)
    factor = scale / jnp.sqrt(var + epsilon)
    mean, factor, bias = (along_channels(v, x.shape) for v in (mean, factor, bias))
    return (y - mean) * factor + bias


def _moments(
    x: AnyArray, mask: AnyArray | None, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array | np.number]:
    """Return each channel's mean and biased variance, in two passes, and the number of values."""
    area = x.shape[1] * x.shape[2]
    if mask is None:
        weight, size = 1.0, jnp.asarray(x.shape[0] * area * axis_size(axis_name), x.dtype)
    else:
        weight = mask.astype(x.dtype).reshape(-1, 1, 1, 1)
        size = psum(weight.sum() * area, axis_name)
    mean = psum(sum_axes(weight * x, 0, 3), axis_name) / size
    squares = (x - along_channels(mean, x.shape)) ** 2
    var = psum(sum_axes(weight * squares, 0, 3), axis_name) / size
    return mean, var, size
