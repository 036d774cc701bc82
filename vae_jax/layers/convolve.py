"""Two implementations of convolution: XLA's own, and windows with one matrix product.

The product is used on CPU. Times there on 2 cores in float32, forward and backward together, in ms,
with PyTorch 2.13, channels last, for comparison (``python scripts/benchmarks/layers.py``):

===============================  =============  ======  =======  =======
layer                            input           XLA's  product  PyTorch
===============================  =============  ======  =======  =======
face_vae encoder.conv1           16x256x256x3       23.8     13.7      8.7
face_vae encoder.conv2           16x128x128x8       12.3      9.6      5.8
face_vae encoder.conv3           16x64x64x16        13.7      6.7      4.2
face_vae decoder.decoder_conv_0  16x31x31x32        50.8      7.0      5.8
face_vae decoder.decoder_conv_3  16x64x64x16        64.5     12.2      8.1
face_vae decoder.decoder_conv_6  16x128x128x8       64.2     20.2     12.3
digits_vae encoder.conv1         64x28x28x1          1.6      0.8      2.2
digits_vae encoder.conv2         64x14x14x32        10.3      6.5      5.4
digits_vae decoder.conv2         64x7x7x32          50.2      8.0      4.9
digits_vae decoder.conv3         64x14x14x64       188.7     22.7     15.1
digits_vae decoder.conv4         64x28x28x32         8.4      2.1      5.1
===============================  =============  ======  =======  =======

XLA computes the gradient of a transposed convolution with respect to its kernel on an image dilated
with zeros; the product never multiplies by those zeros. Both implementations agree to 1e-12 in
float64 (``tests/layers/test_convolve.py``). GPUs and TPUs use XLA's own, which reaches their
convolution hardware and libraries.
"""

from __future__ import annotations

import jax

from vae_jax.layers.im2col import Windows, col2im, im2col
from vae_jax.layers.kernels import Kernels, default_kernels
from vae_jax.layers.product import product

_NHWC = ("NHWC", "HWIO", "NHWC")


def convolve(
    x: jax.Array, kernel: jax.Array, windows: Windows, kernels: Kernels | None = None
) -> jax.Array:
    """Cross-correlate [B, H, W, I] with [k, k, I, O], by default with the backend's kernels."""
    if (kernels or default_kernels()) == "xla":
        return jax.lax.conv_general_dilated(
            x, kernel, windows.stride, windows.padding, dimension_numbers=_NHWC
        )
    if windows.stride == (1, 1) and kernel.shape[3] < kernel.shape[2]:
        return _multiply_then_add(x, _rotate_kernel(kernel), _rotate_windows(windows))
    return _take_then_multiply(x, kernel, windows)


def convolve_transpose(
    x: jax.Array, kernel: jax.Array, windows: Windows, kernels: Kernels | None = None
) -> jax.Array:
    """Apply the transpose of ``convolve`` to [B, H', W', I], with a kernel [k, k, O, I]."""
    if (kernels or default_kernels()) == "xla":
        pads = [
            (k - 1 - before, size - (count - 1) * stride - 1 + before)
            for size, k, stride, (before, _), count in zip(*windows, windows.counts, strict=True)
        ]
        return jax.lax.conv_transpose(
            x, kernel, windows.stride, pads, dimension_numbers=_NHWC, transpose_kernel=True
        )
    return _multiply_then_add(x, kernel, windows)


def _take_then_multiply(x: jax.Array, kernel: jax.Array, windows: Windows) -> jax.Array:
    columns = im2col(x, windows)
    outputs = kernel.shape[3]
    y = product(columns.reshape(-1, kernel.size // outputs), kernel.reshape(-1, outputs), "cpu")
    return y.reshape(*columns.shape[:3], outputs)


def _multiply_then_add(x: jax.Array, kernel: jax.Array, windows: Windows) -> jax.Array:
    inputs = kernel.shape[3]
    columns = product(x.reshape(-1, inputs), kernel.reshape(-1, inputs).T, "cpu")
    return col2im(columns.reshape(*x.shape[:3], *kernel.shape[:3]), windows)


def _rotate_kernel(kernel: jax.Array) -> jax.Array:
    """Return the kernel of the transposed convolution that equals a convolution of stride 1."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


def _rotate_windows(windows: Windows) -> Windows:
    """Return the windows of the transposed convolution that equals one of stride 1."""
    down, across = (
        (k - 1 - before, k - 1 - behind)
        for k, (before, behind) in zip(windows.kernel, windows.padding, strict=True)
    )
    return windows._replace(image=windows.counts, padding=(down, across))
