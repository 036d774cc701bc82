"""``conv_vae``: the general convolutional VAE, for images of any size.

Source: tutorial 001. It fixes the parts and their names (``encoder``, ``fc_mu``, ``fc_logvar``,
``decoder``) and the loss, and leaves the layers open: "convolutions, then linear" and "linear, then
transposed convolutions". Here each width is a 3x3 convolution of stride 2, which halves an image
rounding up, and the decoder doubles it back to exactly the size it had.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from vae_jax.distributions import Bernoulli, DiagonalGaussian, Gaussian, SquaredError
from vae_jax.errors import UserError
from vae_jax.layers import BatchNorm, Conv, ConvTranspose, Dense
from vae_jax.models import pytorch_rules
from vae_jax.models.base import Autoencoder, require_images, require_latents
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec, Reference, Rule
from vae_jax.typing import Image, Latent, Mask


class ConvVAE(Autoencoder):
    """The VAE; images are in [0, 1].

    Attributes:
        image_shape: height, width and channels of the images; any sizes.
        widths: channels after each convolution.
        latent_size: latent dimensions.
        likelihood: ``mse`` (the tutorial's squared error), ``bernoulli`` (its cross entropy)
            or ``gaussian``; the last two give a likelihood in nats.
        scale: the standard deviation of the Gaussian likelihood; where it is learned, its start.
        learned_scale: whether the Gaussian's standard deviation is a parameter.
        batch_norm: whether a batch norm follows each convolution but the decoder's last.
    """

    image_shape: tuple[int, int, int] = (28, 28, 1)  # pyright: ignore[reportIncompatibleVariableOverride]
    widths: tuple[int, ...] = (32, 64)
    latent_size: int = 20
    likelihood: Literal["mse", "bernoulli", "gaussian"] = "mse"
    scale: float = 1.0
    learned_scale: bool = False
    batch_norm: bool = False

    def setup(self):
        """A number is the layer's place in the reference's ``Sequential``."""
        for place, kind, width, extra in layers(self):
            layer: Any = {
                "conv": lambda w, _: Conv(w, 3, stride=2, padding=1),
                "norm": lambda *_: BatchNorm(),
                "dense": lambda w, _: Dense(w),
                "transpose": lambda w, e: ConvTranspose(w, 3, 2, 1, output_padding=e),
            }[kind](width, extra)
            setattr(self, place.replace(".", "_"), layer)
        self.fc_mu = Dense(self.latent_size)
        self.fc_logvar = Dense(self.latent_size)
        if self.learned_scale:
            start = nn.initializers.constant(math.log(self.scale))
            self.log_scale = self.param("log_scale", start, (), jnp.float32)

    def encode(
        self, x: Image, *, train: bool = False, mask: Mask | None = None
    ) -> DiagonalGaussian:
        """The posterior over latents of images [B, H, W, C] in [0, 1]."""
        require_images(x, self.image_shape)
        x = self._run("encoder", x, train, mask).reshape(x.shape[0], -1)
        return DiagonalGaussian(mean=self.fc_mu(x), log_std=self.fc_logvar(x) / 2)

    def observation(
        self, z: Latent, *, train: bool = False, mask: Mask | None = None
    ) -> SquaredError | Bernoulli | Gaussian:
        """What the decoder says about the images [B, H, W, C] of latents [B, L]."""
        require_latents(z, self.latent_size)
        logits = self._run("decoder", z, train, mask)
        if self.likelihood == "bernoulli":
            return Bernoulli(logits)
        image = nn.sigmoid(logits)
        if self.likelihood == "mse":
            return SquaredError(image)
        log_std = self.log_scale if self.learned_scale else math.log(self.scale)
        return Gaussian(image, jnp.asarray(log_std, image.dtype))

    def _run(self, part: str, x: Any, train: bool, mask: Mask | None) -> Any:
        mine = [layer for layer in layers(self) if layer[0].startswith(part)]
        for (place, kind, _, _), following in zip(mine, [*mine[1:], None], strict=True):
            layer = getattr(self, place.replace(".", "_"))
            x = layer(x, train=train, mask=mask) if kind == "norm" else layer(x)
            is_last = following is None and part == "decoder"
            if not is_last and (following is None or following[1] != "norm"):
                x = nn.relu(x)
            if kind == "dense":
                x = x.reshape(-1, *_sizes(self)[-1], self.widths[-1])
        return x


_MAX_LAYERS = 64  # that a file may ask for: each halves the image, and takes time to trace


def layers(model: ConvVAE) -> list[tuple[str, str, int, tuple[int, int]]]:
    """The layers with parameters in the reference's ``Sequential`` parts.

    Returns:
        (place, kind, channels out, output padding) a layer, such as ``("encoder.2", "norm", ...)``.
    """
    found, place = [], 0
    for width in model.widths:
        found.append((f"encoder.{place}", "conv", width, (0, 0)))
        if model.batch_norm:
            found.append((f"encoder.{place + 1}", "norm", width, (0, 0)))
        place += 3 if model.batch_norm else 2  # with the ReLU
    sizes = _sizes(model)
    found.append(("decoder.0", "dense", model.widths[-1] * math.prod(sizes[-1]), (0, 0)))
    place = 3  # after the ReLU and the Unflatten
    outputs = [*reversed(model.widths[:-1]), model.image_shape[2]]
    for number, width in enumerate(outputs, 1):
        height, breadth = sizes[-1 - number]
        extra = (1 - height % 2, 1 - breadth % 2)
        found.append((f"decoder.{place}", "transpose", width, extra))
        if number == len(outputs):
            break
        if model.batch_norm:
            found.append((f"decoder.{place + 1}", "norm", width, (0, 0)))
        place += 3 if model.batch_norm else 2
    return found


def _sizes(model: ConvVAE) -> list[tuple[int, int]]:
    """Height and width of the image, and after each convolution."""
    sizes = [model.image_shape[:2]]
    for _ in model.widths:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _rules(model: ConvVAE) -> tuple[Rule, ...]:
    block = (model.widths[-1], *_sizes(model)[-1])
    rules: list[Rule] = []
    if model.learned_scale:
        rules.append(Rule("log_scale", ("params", "log_scale")))
    found = layers(model)
    first = next(i for i, layer in enumerate(found) if layer[0].startswith("decoder"))
    heads = [(name, "head", model.latent_size, (0, 0)) for name in ("fc_mu", "fc_logvar")]
    for place, kind, _, _ in [*found[:first], *heads, *found[first:]]:
        target = (place.replace(".", "_"),)
        if kind == "head":
            rules += pytorch_rules.linear(place, target, flat_input=block)
        elif kind == "dense":
            rules += pytorch_rules.linear(place, target, flat_output=block)
        elif kind == "norm":
            rules += pytorch_rules.batch_norm(place, target)
        else:
            rules += pytorch_rules.conv(place, target)
    return tuple(rules)


def _infer(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The hyperparameters that a checkpoint's names and shapes determine."""
    places = sorted(
        int(match[1])
        for name, array in tensors.items()
        if (match := re.fullmatch(r"encoder\.(\d{1,4})\.weight", name)) and array.ndim == 4
    )
    if not 0 < len(places) <= _MAX_LAYERS or "fc_mu.bias" not in tensors:
        return {}
    found: dict[str, Any] = {
        "widths": tuple(len(tensors[f"encoder.{p}.weight"]) for p in places),
        "latent_size": tensors["fc_mu.bias"].size,
        "batch_norm": any(name.endswith(".running_mean") for name in tensors),
    }
    if "log_scale" in tensors:
        found |= {"likelihood": "gaussian", "learned_scale": True}
    return found


def _undetermined(known: Mapping[str, Any]) -> tuple[str, ...]:
    fixed = known.get("likelihood") == "gaussian" and not known.get("learned_scale")
    return ("image_shape", "likelihood", *(["scale"] if fixed else []))


def _check(model: ConvVAE) -> None:
    if model.learned_scale and model.likelihood != "gaussian":
        raise UserError(
            f"conv_vae's learned_scale is of the gaussian likelihood, not of "
            f"{model.likelihood}; add likelihood=gaussian"
        )


SPEC = ModelSpec(
    name="conv_vae",
    summary="general convolutional VAE, images of any size",
    module=ConvVAE,
    reference=Reference(
        framework="PyTorch",
        tutorial="001",
        checkpoint="state dict",
        heads=("fc_mu", "fc_logvar"),
        infer=_infer,
        undetermined=_undetermined,
    ),
    recipe=Recipe(
        data="digits",
        epochs=10,
        batch_size=64,
        learning_rate=1e-3,
        reduction="mean",
        epoch_loss="mean",
    ),
    rules=_rules,
    variational=True,
    check=_check,
)
