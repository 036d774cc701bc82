"""The Paddle backend: the Paddle originals, driven with NumPy arrays.

The noise is an argument. Everything comes back as NumPy arrays under Paddle's own tensor names,
with the part that the tutorial saves apart in front.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.errors import CheckpointError
from vae_jax.parity.backends import Backend, Input
from vae_jax.parity.layers import INPUT
from vae_jax.parity.originals.paddle import CLASSES, Decoder, Encoder, paddle, versions
from vae_jax.parity.precision import PrecisionLike, precision_of
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

__all__ = ["Decoder", "Encoder", "PaddleReference", "paddle", "versions"]


class PaddleReference(Backend):
    """A reference model with its two optimisers, driven with NumPy arrays.

    Images are [B, 28, 28, 1] in [-1, 1], noise is [B, L]; ``digits_cvae`` takes one-hot labels
    [B, 10] as well and ``digits_vae`` none, else ValueError.

    In float64 Adam's scalars are float64 too: Paddle gives the learning rate and the powers of
    the betas the precision of the weights, which are therefore cast before the optimisers are
    made. The betas stay Python numbers: Paddle starts the powers of tensors at 0.9 and 0.999.

    Args:
        name: ``digits_vae`` or ``digits_cvae``.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: weights to load; default: Paddle's own initialisation from ``seed``, in float32.
        seed: of that initialisation; Paddle's generator is put back as it was.
        **hyper: ``latent_size`` and ``channels``, the tutorial's ``latent`` and ``channel``.
    """

    def __init__(
        self,
        name: str,
        precision: PrecisionLike,
        tensors: Tensors | None = None,
        seed: int = 0,
        **hyper: int,
    ):
        chosen = precision_of(precision)
        self.dtype = paddle.float64 if chosen.dtype == np.float64 else paddle.float32
        self.classes = CLASSES[name]
        generator = paddle.get_rng_state()
        paddle.seed(seed)
        self.parts = {
            "encoder": Encoder(self.classes, **hyper),
            "decoder": Decoder(self.classes, **hyper),
        }
        paddle.set_rng_state(generator)
        for part in self.parts.values():
            part.to(dtype=self.dtype)
            for layer in part.sublayers():
                layer.bits = chosen.bits
        if tensors is not None:
            self._restore(tensors)
        self.optimizers: list[paddle.optimizer.Adam] = []

    def reset(self, tensors: Tensors) -> None:
        """Take weights, and forget the optimisers' state."""
        self._restore(tensors)
        self.optimizers = []

    def state_dict(self) -> Tensors:
        """Return the weights."""
        return {name: p.numpy().copy() for name, p in self._parameters()}

    def trace(self, *probe: Input, train: bool = False) -> tuple[Tensors, Tensors]:
        """Return what goes into and comes out of each layer, and the outputs; in either mode."""
        found: Tensors = {}

        def keep(name):
            def hook(layer, inputs, output):
                found[name + INPUT] = inputs[0].numpy().copy()
                found[name] = output.numpy().copy()

            return hook

        with contextlib.ExitStack() as hooks:
            for part, whole in self.parts.items():
                for name, layer in whole.named_sublayers():
                    handle = layer.register_forward_post_hook(keep(f"{part}.{name}"))
                    hooks.callback(handle.remove)
            outputs = self.forward(*probe)
        return found, outputs

    def forward(self, *probe: Input) -> Tensors:
        """Return mean and std [B, L] and image, without gradients."""
        with paddle.no_grad():
            _, mean, logvar, decoded = self._run(*probe)
            heads = {"mean": mean, "std": paddle.exp(0.5 * logvar)}
        outputs = {k: v.numpy()[:, :, 0, 0] for k, v in heads.items()}
        return outputs | {"image": decoded.numpy().transpose(0, 2, 3, 1)}

    def backward(self, *probe: Input) -> tuple[dict[str, float], Tensors]:
        """Return the loss terms with the total, and every parameter's gradient."""
        terms = self._gradients(*probe)
        gradients = {}
        for name, parameter in self._parameters():
            assert parameter.grad is not None, name
            gradients[name] = parameter.grad.numpy().copy()
        return terms, gradients

    def step(self, recipe: Recipe, *probe: Input) -> dict[str, float]:
        """Take a step of both optimisers and return the loss terms before it."""
        if not self.optimizers:
            self.optimizers = [_adam(recipe, part.parameters()) for part in self.parts.values()]
        terms = self._gradients(*probe)
        for optimizer in self.optimizers:
            optimizer.step()
        return terms

    def moments(self) -> dict[str, Tensors]:
        """Return Adam's moments by parameter name, under PyTorch's names for them."""
        assert self.optimizers, "no step taken yet"
        state = {k: v for opt in self.optimizers for k, v in opt.state_dict().items()}
        # A name ends in a number, which counts the optimisers that the parameter has had.
        bare = {k.rpartition("_")[0]: v for k, v in state.items() if "_moment" in k}
        return {
            ours: {k: bare[f"{p.name}_{theirs}"].numpy().copy() for k, p in self._parameters()}
            for ours, theirs in (("exp_avg", "moment1"), ("exp_avg_sq", "moment2"))
        }

    def updates(
        self, recipe: Recipe, start: np.ndarray, gradients: Iterable[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield a parameter after each of some given gradients: the optimiser by itself."""
        parameter = paddle.create_parameter(list(start.shape), self.dtype)
        parameter.set_value(self._tensor(start))
        optimizer = _adam(recipe, [parameter])
        for gradient in gradients:
            (parameter * self._tensor(gradient)).sum().backward()
            optimizer.step()
            optimizer.clear_grad()
            yield parameter.numpy().copy()

    def save(self, folder: str | os.PathLike[str], model_name: str = "A") -> tuple[Path, Path]:
        """Write the tutorial's two files, such as ``A_encoder_False.pdparams``, and return both."""
        start, end = Path(folder) / model_name, f"{bool(self.classes)}.pdparams"
        for part, layer in self.parts.items():
            paddle.save(layer.state_dict(), f"{start}_{part}_{end}")
        return Path(f"{start}_encoder_{end}"), Path(f"{start}_decoder_{end}")

    def load(
        self, encoder_path: str | os.PathLike[str], decoder_path: str | os.PathLike[str]
    ) -> None:
        """Read the two files, which are pickles: only those of a source that you trust.

        Raises:
            CheckpointError: they are not of this model and size.
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

    def _gradients(self, *probe: Input) -> dict[str, float]:
        """Return the tutorial's loss terms, with the parameters' gradients left in Paddle."""
        x, mean, logvar, decoded = self._run(*probe)
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

    def _run(
        self, image: Input, noise: Input, label: Input = None
    ) -> tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        """Return the image as Paddle orders it, mean, log variance and reconstruction."""
        assert image is not None
        assert noise is not None
        given = None if label is None else np.shape(label)
        expected = (len(image), self.classes) if self.classes else None
        if given != expected:
            raise ValueError(f"a label of shape {given}; this model takes {expected}")
        x = self._tensor(np.transpose(image, (0, 3, 1, 2)))
        labels = [] if label is None else [self._tensor(label)[:, :, None, None]]
        mean, logvar = self.parts["encoder"](x, *labels)
        z = self._tensor(noise)[:, :, None, None] * paddle.exp(0.5 * logvar) + mean
        return x, mean, logvar, self.parts["decoder"](z, *labels)

    def _parameters(self) -> Iterator[tuple[str, paddle.Tensor]]:
        for part, layer in self.parts.items():
            for name, parameter in layer.named_parameters():
                yield f"{part}.{name}", parameter

    def _tensor(self, array: ArrayLike) -> paddle.Tensor:
        return paddle.to_tensor(np.asarray(array), dtype=self.dtype)


def _adam(recipe: Recipe, parameters: list[paddle.Tensor]) -> paddle.optimizer.Adam:
    scalars = (recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)
    return paddle.optimizer.Adam(*scalars, parameters=parameters)
