"""Convolution and transposed convolution with PyTorch's integer padding, channels last.

Source: ``torch.nn.Conv2d`` and ``torch.nn.ConvTranspose2d``. Kernels are [k, k, I, O] and, for the
transposed convolution, [k, k, O, I], the kernel of the convolution whose gradient it is.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from vae_jax.layers.initializers import torch_uniform
from vae_jax.typing import AnyArray

_NHWC = ("NHWC", "HWIO", "NHWC")


def conv2d(x: AnyArray, kernel: AnyArray, stride: int, padding: int) -> jax.Array:
    """Cross-correlates [B, H, W, I] with [k, k, I, O]; ``padding`` zeros on every side."""
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=_NHWC
    )


def conv2d_transpose(
    x: AnyArray, kernel: AnyArray, stride: int, padding: int, output_padding: int
) -> jax.Array:
    """The gradient of ``conv2d`` towards its input: [B, H, W, I] with [k, k, O, I].

    The output is ``(H - 1) * stride - 2 * padding + k + output_padding`` high. Written as a
    correlation with the flipped kernel over the input spread out by ``stride``, its padding is
    ``k - 1 - padding`` before and ``output_padding`` more after. ``padding`` may pass ``k - 1``:
    the negative padding then crops, as PyTorch's does.
    """
    pads = [(k - 1 - padding, k - 1 - padding + output_padding) for k in kernel.shape[:2]]
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    return jax.lax.conv_transpose(
        x, kernel, (stride, stride), pads, dimension_numbers=_NHWC, transpose_kernel=True
    )


class Conv(nn.Module):
    """``torch.nn.Conv2d(I, features, kernel_size, stride, padding)``."""

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
        """Maps [B, H, W, I] to [B, H', W', O]."""
        k, channels = self.kernel_size, x.shape[-1]
        init = torch_uniform(channels * k * k)
        kernel = self.param("kernel", init, (k, k, channels, self.features), jnp.float32)
        bias = self.param("bias", init, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=None)
        return conv2d(x, kernel, self.stride, self.padding) + bias.reshape(1, 1, 1, -1)


class ConvTranspose(nn.Module):
    """``torch.nn.ConvTranspose2d(I, features, kernel_size, stride, padding, output_padding)``."""

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    output_padding: int = 0

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
        """Maps [B, H, W, I] to [B, H', W', O]."""
        if not 0 <= self.output_padding < max(self.stride, 1):
            raise ValueError(
                f"output_padding is {self.output_padding}; expected 0 to stride - 1 = "
                f"{self.stride - 1}, as PyTorch"
            )
        k, channels = self.kernel_size, x.shape[-1]
        init = torch_uniform(self.features * k * k)
        kernel = self.param("kernel", init, (k, k, self.features, channels), jnp.float32)
        bias = self.param("bias", init, (self.features,), jnp.float32)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=None)
        x = conv2d_transpose(x, kernel, self.stride, self.padding, self.output_padding)
        return x + bias.reshape(1, 1, 1, -1)
