"""PyTorch's default initialisation of dense layers and convolutions.

Source: ``reset_parameters`` of ``torch.nn.Linear`` and ``torch.nn.modules.conv._ConvNd``: Kaiming
uniform with a = sqrt(5), which is uniform within 1/sqrt(fan_in), for the weight and the bias alike.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def torch_uniform(fan_in: int) -> jax.nn.initializers.Initializer:
    """Uniform within ``1/sqrt(fan_in)`` of zero.

    ``fan_in`` is PyTorch's: input features of a dense layer, input channels times the kernel's
    area of a convolution, and *output* channels times the area of a transposed one, whose weight
    has its axes the other way round.
    """
    bound = fan_in**-0.5

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
