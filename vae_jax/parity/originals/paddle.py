"""The Paddle originals as layers; Paddle itself is imported here alone, with care.

Source: tutorial 004, parts 1 and 2, with the sizes made hyperparameters.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from vae_jax.errors import MissingExtraError


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Keep what importing Paddle does to a process inside the block.

    It warns, gives the root logger a handler and the level INFO (so that other libraries begin to
    chatter), and sets ``OMP_NUM_THREADS``, which child processes would inherit. After TensorFlow
    it would bind to TensorFlow's copies of the C++ symbols that both define, and crash.
    """
    root = logging.getLogger()
    with warnings.catch_warnings(action="ignore"), contextlib.ExitStack() as restore:
        restore.callback(root.setLevel, root.level)
        restore.callback(setattr, root, "handlers", list(root.handlers))
        for name in {"CUSTOM_DEVICE_ROOT", "GLOG_minloglevel", "OMP_NUM_THREADS"} - set(os.environ):
            restore.callback(os.environ.pop, name, None)
        os.environ.setdefault("GLOG_minloglevel", "2")
        if sys.platform == "linux" and "tensorflow" in sys.modules:
            flags = sys.getdlopenflags()
            restore.callback(sys.setdlopenflags, flags)
            sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
        yield


try:
    with _contained():
        import paddle
        from paddle import nn
        from paddle.nn import functional as F
        from paddle.version import full_version

        # The first product reads OMP_NUM_THREADS for good; without it Paddle takes twice as long.
        paddle.matmul(paddle.ones([2, 2]), paddle.ones([2, 2]))
except ImportError as error:
    raise MissingExtraError("Paddle", "paddle", "a live comparison with Paddle") from error

SIDE = 28
CLASSES = {"digits_vae": 0, "digits_cvae": 10}


class _Rounded(paddle.autograd.PyLayer):
    """A factor of a product, rounded to some bits of fraction; its gradient passes as it is."""

    @staticmethod
    def forward(ctx: Any, x, bits):  # pyright: ignore[reportIncompatibleMethodOverride]
        return _rounded(x, bits)

    @staticmethod
    def backward(ctx: Any, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient


class _GradientRounded(paddle.autograd.PyLayer):
    """A product whose gradient, a factor of two more products, is rounded, and not itself."""

    @staticmethod
    def forward(ctx: Any, x, bits):  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.bits = bits
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient):  # pyright: ignore[reportIncompatibleMethodOverride]
        return _rounded(gradient, ctx.bits)


def _rounded(x, bits: int):
    """Return float32 with so many bits of fraction, to the nearest (Veltkamp's splitting)."""
    spread = x * float(2 ** (23 - bits) + 1)
    return spread - (spread - x)


class Conv2D(nn.Conv2D):
    """Paddle's convolution, which with ``bits`` rounds the factors of its products.

    Paddle numbers parameters by the name of their layer's class, so it stays the tutorial's.
    """

    bits: int | None = None

    def forward(self, x):
        """Return images [B, O, H', W'] of images [B, I, H, W]."""
        return super().forward(x) if self.bits is None else _rounded_layer(self, F.conv2d, x)


class Conv2DTranspose(nn.Conv2DTranspose):
    """The transposed convolution, treated as ``Conv2D``."""

    bits: int | None = None

    def forward(self, x):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return images [B, O, H', W'] of images [B, I, H, W]."""
        if self.bits is None:
            return super().forward(x)
        return _rounded_layer(self, F.conv2d_transpose, x)


def _rounded_layer(layer: Any, product: Any, x):
    factors = [_Rounded.apply(a, layer.bits) for a in (x, layer.weight)]
    y = product(*factors, None, layer._stride, layer._padding)
    return _GradientRounded.apply(y, layer.bits) + layer.bias.reshape([1, -1, 1, 1])


class Encoder(nn.Layer):
    """The encoder of part 1, and with classes of part 2: the label becomes a second channel.

    Its dense layers are 1x1 convolutions of 1x1 images.
    """

    def __init__(self, classes: int = 0, latent_size: int = 2, channels: int = 32):
        super().__init__()
        if classes:
            self.conv_label = Conv2D(classes, SIDE * SIDE, 1, 1, 0)
        self.conv1 = Conv2D(2 if classes else 1, channels, 4, 2, 1)
        self.conv2 = Conv2D(channels, 2 * channels, 4, 2, 1)
        self.conv_mean = Conv2D(7 * 7 * 2 * channels, latent_size, 1, 1, 0)
        self.conv_logvar = Conv2D(7 * 7 * 2 * channels, latent_size, 1, 1, 0)

    def forward(self, x, label=None):
        """Return mean and log variance, each [B, L, 1, 1], of images [B, 1, 28, 28]."""
        if label is not None:
            plane = paddle.reshape(self.conv_label(label), [label.shape[0], -1, SIDE, SIDE])
            x = paddle.concat([x, plane], 1)
        x = F.leaky_relu(self.conv1(x))
        x = F.leaky_relu(self.conv2(x))
        x = paddle.reshape(x, [x.shape[0], -1, 1, 1])
        return self.conv_mean(x), self.conv_logvar(x)


class Decoder(nn.Layer):
    """The decoder of part 1, and with classes of part 2: the label follows the latent."""

    def __init__(self, classes: int = 0, latent_size: int = 2, channels: int = 32):
        super().__init__()
        self.conv1 = Conv2D(latent_size + classes, 7 * 7 * channels, 1, 1, 0)
        self.conv2 = Conv2DTranspose(channels, 2 * channels, 4, 2, 1)
        self.conv3 = Conv2DTranspose(2 * channels, channels, 4, 2, 1)
        self.conv4 = Conv2D(channels, 1, 3, 1, 1)

    def forward(self, z, label=None):
        """Return images [B, 1, 28, 28] in [-1, 1] of latents [B, L, 1, 1]."""
        x = z if label is None else paddle.concat([z, label], 1)
        x = F.leaky_relu(self.conv1(x))
        x = F.leaky_relu(self.conv2(paddle.reshape(x, [x.shape[0], -1, 7, 7])))
        return F.tanh(self.conv4(F.leaky_relu(self.conv3(x))))


def versions() -> str:
    """Return the framework and its version, for a report's title."""
    return f"Paddle {full_version}"
