"""The Paddle originals, and what they compute on given arrays.

Source: tutorial 004, parts 1 and 2, with the noise made an argument and the sizes made
hyperparameters. Everything comes back as NumPy arrays under Paddle's own tensor names, with the
part that the tutorial saves apart in front.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.errors import CheckpointError, MissingExtraError
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Keeps what importing Paddle does to a process inside the block.

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


class Encoder(nn.Layer):
    """The encoder of part 1, and with classes of part 2: the label becomes a second channel.

    Its dense layers are 1x1 convolutions of 1x1 images.
    """

    def __init__(self, classes: int = 0, latent_size: int = 2, channels: int = 32):
        super().__init__()
        if classes:
            self.conv_label = nn.Conv2D(classes, SIDE * SIDE, 1, 1, 0)
        self.conv1 = nn.Conv2D(2 if classes else 1, channels, 4, 2, 1)
        self.conv2 = nn.Conv2D(channels, 2 * channels, 4, 2, 1)
        self.conv_mean = nn.Conv2D(7 * 7 * 2 * channels, latent_size, 1, 1, 0)
        self.conv_logvar = nn.Conv2D(7 * 7 * 2 * channels, latent_size, 1, 1, 0)

    def forward(self, x, label=None):
        """Images [B, 1, 28, 28] to mean and log variance, each [B, L, 1, 1]."""
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
        self.conv1 = nn.Conv2D(latent_size + classes, 7 * 7 * channels, 1, 1, 0)
        self.conv2 = nn.Conv2DTranspose(channels, 2 * channels, 4, 2, 1)
        self.conv3 = nn.Conv2DTranspose(2 * channels, channels, 4, 2, 1)
        self.conv4 = nn.Conv2D(channels, 1, 3, 1, 1)

    def forward(self, z, label=None):
        """Latents [B, L, 1, 1] to images [B, 1, 28, 28] in [-1, 1]."""
        x = z if label is None else paddle.concat([z, label], 1)
        x = F.leaky_relu(self.conv1(x))
        x = F.leaky_relu(self.conv2(paddle.reshape(x, [x.shape[0], -1, 7, 7])))
        return F.tanh(self.conv4(F.leaky_relu(self.conv3(x))))


class PaddleReference:
    """A reference model with its two optimisers, driven with NumPy arrays.

    Images are [B, 28, 28, 1] in [-1, 1], noise is [B, L]; ``digits_cvae`` takes one-hot labels
    [B, 10] as well and ``digits_vae`` none, else ValueError.

    In float64 Adam's scalars are float64 too: Paddle gives the learning rate and the powers of
    the betas the precision of the weights, which are therefore cast before the optimisers are
    made. The betas stay Python numbers: Paddle starts the powers of tensors at 0.9 and 0.999.

    Args:
        name: ``digits_vae`` or ``digits_cvae``.
        dtype: ``np.float32`` or ``np.float64``.
        tensors: weights to load; default: Paddle's own initialisation from ``seed``, in float32.
        seed: of that initialisation; Paddle's generator is put back as it was.
        **hyper: ``latent_size`` and ``channels``, the tutorial's ``latent`` and ``channel``.
    """

    def __init__(
        self, name: str, dtype, tensors: Tensors | None = None, seed: int = 0, **hyper: int
    ):
        self.dtype = paddle.float64 if np.dtype(dtype) == np.float64 else paddle.float32
        self.classes = CLASSES[name]
        generator = paddle.get_rng_state()
        paddle.seed(seed)
        self.parts = {
            "encoder": Encoder(self.classes, **hyper),
            "decoder": Decoder(self.classes, **hyper),
        }
        paddle.set_rng_state(generator)
        for layer in self.parts.values():
            layer.to(dtype=self.dtype)
        if tensors is not None:
            self._restore(tensors)
        self.optimizers: list[paddle.optimizer.Adam] = []

    def state_dict(self) -> Tensors:
        """The weights."""
        return {name: p.numpy().copy() for name, p in self._parameters()}

    def forward(self, image, noise, label=None) -> dict[str, np.ndarray]:
        """Mean and std [B, L] and image, without gradients."""
        with paddle.no_grad():
            _, mean, logvar, decoded = self._run(image, noise, label)
            heads = {"mean": mean, "std": paddle.exp(0.5 * logvar)}
        outputs = {k: v.numpy()[:, :, 0, 0] for k, v in heads.items()}
        return outputs | {"image": decoded.numpy().transpose(0, 2, 3, 1)}

    def backward(self, image, noise, label=None) -> tuple[dict[str, float], Tensors]:
        """Loss terms with the total, and every parameter's gradient."""
        terms = self._gradients(image, noise, label)
        return terms, {name: p.grad.numpy().copy() for name, p in self._parameters()}

    def step(self, recipe: Recipe, image, noise, label=None) -> dict[str, float]:
        """One step of both optimisers, made with the first step's recipe; the terms before it."""
        if not self.optimizers:
            scalars = (recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)
            self.optimizers = [
                paddle.optimizer.Adam(*scalars, parameters=layer.parameters())
                for layer in self.parts.values()
            ]
        terms = self._gradients(image, noise, label)
        for optimizer in self.optimizers:
            optimizer.step()
        return terms

    def moments(self) -> dict[str, Tensors]:
        """Adam's two moments by parameter name, under PyTorch's names for them."""
        assert self.optimizers, "no step taken yet"
        state = {k: v for opt in self.optimizers for k, v in opt.state_dict().items()}
        return {
            ours: {k: state[f"{p.name}_{theirs}_0"].numpy().copy() for k, p in self._parameters()}
            for ours, theirs in (("exp_avg", "moment1"), ("exp_avg_sq", "moment2"))
        }

    def save(self, folder, model_name: str = "A") -> tuple[Path, Path]:
        """Writes the tutorial's two files, such as ``A_encoder_False.pdparams``; their paths."""
        start, end = Path(folder) / model_name, f"{bool(self.classes)}.pdparams"
        for part, layer in self.parts.items():
            paddle.save(layer.state_dict(), f"{start}_{part}_{end}")
        return Path(f"{start}_encoder_{end}"), Path(f"{start}_decoder_{end}")

    def load(self, encoder_path, decoder_path) -> None:
        """Reads the two files, which are pickles: only those of a source that you trust.

        Raises CheckpointError where they are not of this model and size.
        """
        tensors: Tensors = {}
        for part, path in zip(self.parts, (encoder_path, decoder_path), strict=True):
            loaded = paddle.load(str(path), return_numpy=True)
            tensors |= {f"{part}.{name}": tensor for name, tensor in loaded.items()}
        self._restore(tensors)

    def _restore(self, tensors: Tensors) -> None:
        # Paddle's set_state_dict only warns of these and goes on with the weights that it has.
        expected = {name: tuple(p.shape) for name, p in self._parameters()}
        found = {name: tensor.shape for name, tensor in tensors.items()}
        wrong = sorted(k for k in expected | found if expected.get(k) != found.get(k))
        if wrong:
            raise CheckpointError(f"missing, unknown or of another shape: {', '.join(wrong)}")
        for name, parameter in self._parameters():
            parameter.set_value(self._tensor(tensors[name]))

    def _gradients(self, image, noise, label) -> dict[str, float]:
        """The tutorial's loss terms, with the parameters' gradients left in Paddle."""
        x, mean, logvar, decoded = self._run(image, noise, label)
        kl = -0.5 * (1 + logvar - mean**2 - paddle.exp(logvar))
        terms = {
            "reconstruction": paddle.mean(paddle.sum((x - decoded) ** 2, [1, 2, 3])),
            "kl_divergence": paddle.mean(paddle.sum(kl, [1, 2, 3])),
        }
        loss = terms["reconstruction"] + terms["kl_divergence"]
        for layer in self.parts.values():
            layer.clear_gradients()
        loss.backward()
        return {k: float(v) for k, v in {"loss": loss, **terms}.items()}

    def _run(self, image, noise, label):
        """The image as Paddle orders it, mean, log variance and reconstruction."""
        given = None if label is None else np.shape(label)
        expected = (len(image), self.classes) if self.classes else None
        if given != expected:
            raise ValueError(f"a label of shape {given}; this model takes {expected}")
        x = self._tensor(np.transpose(image, (0, 3, 1, 2)))
        labels = [] if label is None else [self._tensor(label)[:, :, None, None]]
        mean, logvar = self.parts["encoder"](x, *labels)
        z = self._tensor(noise)[:, :, None, None] * paddle.exp(0.5 * logvar) + mean
        return x, mean, logvar, self.parts["decoder"](z, *labels)

    def _parameters(self) -> Iterator[tuple[str, Any]]:
        for part, layer in self.parts.items():
            for name, parameter in layer.named_parameters():
                yield f"{part}.{name}", parameter

    def _tensor(self, array: Any) -> paddle.Tensor:
        return paddle.to_tensor(np.asarray(array), dtype=self.dtype)


def versions() -> str:
    """The framework and its version, for a report's title."""
    return f"Paddle {full_version}"
