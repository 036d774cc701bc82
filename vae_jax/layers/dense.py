"""The dense layer, as ``torch.nn.Linear`` with its kernel transposed."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from vae_jax.layers.initializers import torch_uniform
from vae_jax.typing import AnyArray


class Dense(nn.Module):
    """``x @ kernel + bias``: [..., I] to [..., O] with kernel [I, O] and bias [O]."""

    features: int

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
        """Applies the layer to the last axis."""
        fan_in = x.shape[-1]
        init = torch_uniform(fan_in)
        kernel = self.param("kernel", init, (fan_in, self.features), jnp.float32)
        bias = self.param("bias", init, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=None)
        return x @ kernel + jnp.expand_dims(bias, range(x.ndim - 1))
