"""Convolution and transposed convolution, channels last, padded as PyTorch or TensorFlow does.

Sources: ``torch.nn.Conv2d`` and ``torch.nn.ConvTranspose2d`` for numeric padding;
``tf.nn.conv2d`` and ``tf.nn.conv2d_transpose`` for "SAME", which at stride 2 pads an even image
more after than before (a 5x5 kernel: 1 before, 2 after). Kernels are [k, k, I, O] and, for the
transposed convolution, [k, k, O, I], the kernel of the convolution whose gradient it is.

``layers/convolve.py`` chooses the implementation.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import Literal

import flax.linen as nn
import jax  # many of its functions have no full hints
import jax.numpy as jnp
from flax.linen import dtypes

from vae_jax.layers.convolve import convolve, convolve_transpose
from vae_jax.layers.im2col import Windows
from vae_jax.layers.initializers import TORCH, Initialization
from vae_jax.layers.kernels import Kernels, inherited
from vae_jax.layers.sums import along_channels
from vae_jax.typing import AnyArray

Padding = int | Literal["SAME"]


def conv2d(
    x: AnyArray, kernel: AnyArray, stride: int, padding: Padding, kernels: Kernels | None = None
) -> jax.Array:
    """Cross-correlate [B, H, W, I] with [k, k, I, O], with ``padding`` zeros on every side."""
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    return convolve(x, kernel, _windows(x.shape[1:3], kernel.shape[:2], stride, padding), kernels)


def conv2d_transpose(
    x: AnyArray,
    kernel: AnyArray,
    stride: int,
    padding: Padding,
    output_padding: int | tuple[int, int] = 0,
    kernels: Kernels | None = None,
) -> jax.Array:
    """Apply the transpose of ``conv2d`` to [B, H, W, I], with a kernel [k, k, O, I].

    The output's height is ``(H - 1) * stride - 2 * padding + k + output_padding``, or
    ``H * stride`` with "SAME". ``padding`` may exceed ``k - 1``.
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    image = tuple(
        size * stride if isinstance(padding, str) else (size - 1) * stride - 2 * padding + k + extra
        for size, k, extra in zip(
            x.shape[1:3], kernel.shape[:2], _pair(output_padding), strict=True
        )
    )
    return convolve_transpose(
        x, kernel, _windows(image, kernel.shape[:2], stride, padding), kernels
    )


def _windows(
    image: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: Padding
) -> Windows:
    def pads(size: int, k: int) -> tuple[int, int]:
        if not isinstance(padding, str):
            return padding, padding
        total = max((-(-size // stride) - 1) * stride + k - size, 0)
        return total // 2, total - total // 2

    (height, width), (down, across) = image, kernel
    margins = pads(height, down), pads(width, across)
    return Windows((height, width), (down, across), (stride, stride), margins)


class Conv(nn.Module):
    """A convolution: ``torch.nn.Conv2d(I, features, kernel_size, stride, padding)``."""

    features: int
    kernel_size: int
    stride: int = 1
    padding: Padding = 0
    initialization: Initialization = TORCH
    kernels: Kernels | None = None  # None: the enclosing module's, then the backend's

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
        """Map [B, H, W, I] to [B, H', W', O]."""
        k, channels = self.kernel_size, x.shape[-1]
        fans = channels * k * k, self.features * k * k
        shape = (k, k, channels, self.features)
        kernel = self.param("kernel", self.initialization.kernel(*fans), shape, jnp.float32)
        bias = self.param("bias", self.initialization.bias(*fans), shape[-1:], jnp.float32)
        x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=None)
        x = conv2d(x, kernel, self.stride, self.padding, inherited(self, "kernels"))
        return x + along_channels(bias, x.shape)


class ConvTranspose(nn.Module):
    """A transposed convolution: ``torch.nn.ConvTranspose2d`` with the same arguments.

    ``output_padding`` may differ for height and width. If ``adds_bias`` is False, the bias is a
    parameter that the output does not depend on.
    """

    features: int
    kernel_size: int
    stride: int = 1
    padding: Padding = 0
    output_padding: int | tuple[int, int] = 0
    initialization: Initialization = TORCH
    adds_bias: bool = True
    kernels: Kernels | None = None  # None: the enclosing module's, then the backend's

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
        """Map [B, H, W, I] to [B, H', W', O]."""
        for extra in _pair(self.output_padding):
            if not 0 <= extra < max(self.stride, 1):
                raise ValueError(
                    f"output_padding is {extra}; expected 0 to stride - 1 = {self.stride - 1}, "
                    "as PyTorch"
                )
        k, channels = self.kernel_size, x.shape[-1]
        fans = self.features * k * k, channels * k * k
        shape = (k, k, self.features, channels)
        kernel = self.param("kernel", self.initialization.kernel(*fans), shape, jnp.float32)
        bias = self.param("bias", self.initialization.bias(*fans), shape[2:3], jnp.float32)
        x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=None)
        x = conv2d_transpose(
            x, kernel, self.stride, self.padding, self.output_padding, inherited(self, "kernels")
        )
        return x + along_channels(bias, x.shape) if self.adds_bias else x


def _pair(sizes: int | tuple[int, int]) -> tuple[int, int]:
    return (sizes, sizes) if isinstance(sizes, int) else sizes
