"""Every model in PyTorch, with one interface: the originals where they are PyTorch's, else a twin.

The twins have the layers of ``digits_vae``, ``digits_cvae`` and ``stddev_vae`` as a PyTorch user
would write them for speed. Images are [B, C, H, W], labels one-hot [B, K].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from vae_jax.parity.originals.pytorch import RUNNERS, F, nn, torch

_SIDE = 7  # of the smallest feature map


class DigitsVAE(nn.Module):
    """Tutorial 004's VAE, and with classes its CVAE; 1x1 convolutions of 1x1 images are linear."""

    def __init__(self, classes: int = 0, latent_size: int = 2, channels: int = 32):
        super().__init__()
        self.classes, flat = classes, _SIDE * _SIDE * channels
        self.encoder = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(2 if classes else 1, channels, 4, 2, 1),
                "conv2": nn.Conv2d(channels, 2 * channels, 4, 2, 1),
                "conv_mean": nn.Linear(2 * flat, latent_size),
                "conv_logvar": nn.Linear(2 * flat, latent_size),
            }
        )
        if classes:
            self.encoder["conv_label"] = nn.Linear(classes, 28 * 28)
        self.decoder = nn.ModuleDict(
            {
                "conv1": nn.Linear(latent_size + classes, flat),
                "conv2": nn.ConvTranspose2d(channels, 2 * channels, 4, 2, 1),
                "conv3": nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
                "conv4": nn.Conv2d(channels, 1, 3, 1, 1),
            }
        )

    def features(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """What the heads see."""
        part = self.encoder
        if self.classes:
            x = torch.cat([x, part["conv_label"](label).view(-1, 1, 28, 28)], 1)
        x = F.leaky_relu(part["conv1"](x), inplace=True)
        return F.leaky_relu(part["conv2"](x), inplace=True).flatten(1)

    def encode(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The posterior's mean."""
        return self.encoder["conv_mean"](self.features(x, label))

    def decode(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1]."""
        part, z = self.decoder, torch.cat([z, label], 1) if self.classes else z
        x = F.leaky_relu(part["conv1"](z), inplace=True).view(len(z), -1, _SIDE, _SIDE)
        x = F.leaky_relu(part["conv2"](x), inplace=True)
        return torch.tanh(part["conv4"](F.leaky_relu(part["conv3"](x), inplace=True)))

    def loss(self, x: torch.Tensor, noise: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The tutorial's ``trainer``."""
        h = self.features(x, label)
        mean, logvar = self.encoder["conv_mean"](h), self.encoder["conv_logvar"](h)
        out = self.decode(noise * torch.exp(0.5 * logvar) + mean, label)
        kl = -0.5 * (1 + logvar - mean**2 - torch.exp(logvar)).sum()
        return (F.mse_loss(out, x, reduction="sum") + kl) / len(x)


class StddevVAE(nn.Module):
    """The code that tutorial 003 links; its cross entropy is computed from the logits."""

    def __init__(self, latent_size: int = 20, sound_likelihood: bool = False):
        super().__init__()
        del sound_likelihood  # it changes rounding, and nothing that takes time here
        flat = _SIDE * _SIDE * 32
        self.d_h1, self.d_h2 = nn.Conv2d(1, 16, 5, 2), nn.Conv2d(16, 32, 5, 2)
        self.w_mean, self.w_stddev = (nn.Linear(flat, latent_size) for _ in range(2))
        self.z_matrix = nn.Linear(latent_size, flat)
        self.g_h1 = nn.ConvTranspose2d(32, 16, 5, 2, 1, bias=False)
        self.g_h2 = nn.ConvTranspose2d(16, 1, 5, 2, 1, bias=False)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the heads see; TensorFlow's SAME pads one before and two behind."""
        same = (1, 2, 1, 2)
        x = F.leaky_relu(self.d_h1(F.pad(x, same)), 0.2, inplace=True)
        return F.leaky_relu(self.d_h2(F.pad(x, same)), 0.2, inplace=True).flatten(1)

    def encode(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The posterior's mean."""
        return self.w_mean(self.features(x))

    def logits(self, z: torch.Tensor) -> torch.Tensor:
        """The last row and column of a transposed convolution are SAME's to cut off."""
        x = F.relu(self.z_matrix(z), inplace=True).view(len(z), 32, _SIDE, _SIDE)
        x = F.relu(self.g_h1(x)[:, :, :14, :14])
        return self.g_h2(x)[:, :, :28, :28]

    def decode(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Pixel probabilities."""
        return torch.sigmoid(self.logits(z))

    def loss(self, x: torch.Tensor, noise: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Cross entropy and divergence, means over the batch."""
        h = self.features(x)
        mean, stddev = self.w_mean(h), self.w_stddev(h)
        logits, variance = self.logits(mean + stddev * noise), stddev.square()
        kl = 0.5 * (mean.square() + variance - torch.log(variance) - 1).sum()
        loss = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (loss + kl) / len(x)


class Adapter(NamedTuple):
    """A model's interface.

    Attributes:
        make: from hyperparameters to the module.
        loss: ``(module, x, noise, label) -> loss`` of the recipe, in train mode.
        encode: ``(module, x, label) -> `` the posterior's mean, or the latent.
        decode: ``(module, z, label) -> images``.
    """

    make: Callable[..., nn.Module]
    loss: Callable[..., torch.Tensor]
    encode: Callable[..., torch.Tensor]
    decode: Callable[..., torch.Tensor]


def _original(name: str, encode: Any, decode: Any) -> Adapter:
    runner = RUNNERS[name]

    def loss(module: Any, x: torch.Tensor, noise: torch.Tensor, label: Any) -> Any:
        del label
        return sum(runner.loss(module, x.permute(0, 2, 3, 1), noise).values())

    def without_label(call: Any) -> Any:
        return lambda module, given, label: call(module, given)

    return Adapter(runner.module, loss, without_label(encode), without_label(decode))


def _twin(kind: type[nn.Module], **fixed: Any) -> Adapter:
    def method(name: str) -> Any:
        return lambda module, *arguments: getattr(module, name)(*arguments)

    make = lambda **hyper: kind(**fixed, **hyper)  # noqa: E731
    return Adapter(make, method("loss"), method("encode"), method("decode"))


ADAPTERS = {
    "digits_ae": _original(
        "digits_ae", lambda m, x: m.encoder(x.flatten(1)), lambda m, z: m.decoder(z)
    ),
    "face_vae": _original("face_vae", lambda m, x: m.encoder(x, 0.0)[0], lambda m, z: m.decoder(z)),
    "conv_vae": _original(
        "conv_vae", lambda m, x: m.fc_mu(m.encoder(x)), lambda m, z: m.decoder(z)
    ),
    "stddev_vae": _twin(StddevVAE),
    "digits_vae": _twin(DigitsVAE),
    "digits_cvae": _twin(DigitsVAE, classes=10),
}
"""By the model's name."""
