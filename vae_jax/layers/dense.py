"""The dense layer: ``torch.nn.Linear`` with its kernel transposed."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import flax.linen as nn
import jax  # many of its functions have no full hints
import jax.numpy as jnp
from flax.linen import dtypes

from vae_jax.layers.initializers import TORCH, Initialization
from vae_jax.layers.kernels import Kernels, inherited
from vae_jax.layers.sums import matmul
from vae_jax.typing import AnyArray


class Dense(nn.Module):
    """A dense layer, ``x @ kernel + bias``, with kernel [I, O] and bias [O]."""

    features: int
    initialization: Initialization = TORCH
    kernels: Kernels | None = None  # None: the enclosing module's, then the backend's

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
        """Map [..., I] to [..., O]."""
        fans = x.shape[-1], self.features
        kernel = self.param("kernel", self.initialization.kernel(*fans), fans, jnp.float32)
        bias = self.param("bias", self.initialization.bias(*fans), fans[1:], jnp.float32)
        x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=None)
        return matmul(x, kernel, inherited(self, "kernels")) + jnp.expand_dims(
            bias, range(x.ndim - 1)
        )
