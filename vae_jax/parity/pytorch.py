"""The PyTorch originals, and what they compute on given arrays.

Source: tutorial 002, listings 7.1, 7.3 to 7.6, with the noise made an argument and the device left
to the caller. Everything comes back as NumPy arrays under PyTorch's own tensor names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.errors import MissingExtraError
from vae_jax.spec import Recipe
from vae_jax.typing import Tensors

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtraError("PyTorch", "torch", "a live comparison with PyTorch") from error


class DigitsAE(nn.Module):
    """Listing 7.1."""

    def __init__(self, latent_size: int = 20, hidden_size: int = 200, input_size: int = 784):
        super().__init__()
        self.common = nn.Linear(input_size, hidden_size)
        self.encoded = nn.Linear(hidden_size, latent_size)
        self.l1 = nn.Linear(latent_size, hidden_size)
        self.decode = nn.Linear(hidden_size, input_size)

    def encoder(self, x):
        """Flat images to latents."""
        return self.encoded(F.relu(self.common(x)))

    def decoder(self, z):
        """Latents to flat images."""
        return torch.sigmoid(self.decode(F.relu(self.l1(z))))

    def forward(self, x):
        """Reconstructions and latents."""
        mu = self.encoder(x)
        return self.decoder(mu), mu


class FaceEncoder(nn.Module):
    """Listing 7.4; returns the mean and ``linear3``'s output, the log of the std."""

    def __init__(self, latent_size: int = 100):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.batch2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 32, 3, stride=2, padding=0)
        self.linear1 = nn.Linear(31 * 31 * 32, 1024)
        self.linear2 = nn.Linear(1024, latent_size)
        self.linear3 = nn.Linear(1024, latent_size)

    def forward(self, x, noise):
        """Mean, std and the latent drawn with the given noise."""
        x = F.relu(self.conv1(x))
        x = F.relu(self.batch2(self.conv2(x)))
        x = F.relu(self.conv3(x))
        x = F.relu(self.linear1(torch.flatten(x, start_dim=1)))
        mu, std = self.linear2(x), torch.exp(self.linear3(x))
        return mu, std, mu + std * noise


class FaceDecoder(nn.Module):
    """Listing 7.5."""

    def __init__(self, latent_size: int = 100):
        super().__init__()
        self.decoder_lin = nn.Sequential(
            nn.Linear(latent_size, 1024), nn.ReLU(), nn.Linear(1024, 31 * 31 * 32), nn.ReLU()
        )
        self.unflatten = nn.Unflatten(1, (32, 31, 31))
        self.decoder_conv = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 3, stride=2, output_padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 3, stride=2, padding=1, output_padding=1),
        )

    def forward(self, z):
        """Latents to images."""
        return torch.sigmoid(self.decoder_conv(self.unflatten(self.decoder_lin(z))))


class FaceVAE(nn.Module):
    """The VAE of section 7.4.1."""

    def __init__(self, latent_size: int = 100):
        super().__init__()
        self.encoder = FaceEncoder(latent_size)
        self.decoder = FaceDecoder(latent_size)

    def forward(self, x, noise):
        """Mean, std and reconstruction."""
        mu, std, z = self.encoder(x, noise)
        return mu, std, self.decoder(z)


class DigitsAERunner:
    """``digits_ae`` with images [B, 28, 28, 1] in and out."""

    module = DigitsAE

    @staticmethod
    def forward(model, image, noise):
        """Every tensor that the port must reproduce, by name."""
        del noise
        out, mu = model(image.reshape(len(image), -1))
        return {"latent": mu, "image": out.reshape(-1, 28, 28, 1)}

    @staticmethod
    def loss(model, image, noise):
        """Listing 7.3."""
        del noise
        flat = image.reshape(len(image), -1)
        out, _ = model(flat)
        return {"reconstruction": ((out - flat) ** 2).sum()}


class FaceVAERunner:
    """``face_vae`` with images [B, 256, 256, 3] in and out."""

    module = FaceVAE

    @staticmethod
    def forward(model, image, noise):
        """Every tensor that the port must reproduce, by name."""
        mu, std, out = model(image.permute(0, 3, 1, 2), noise)
        return {"mean": mu, "std": std, "image": out.permute(0, 2, 3, 1)}

    @staticmethod
    def loss(model, image, noise):
        """Listing 7.6."""
        x = image.permute(0, 3, 1, 2)
        mu, std, out = model(x, noise)
        return {
            "reconstruction": ((x - out) ** 2).sum(),
            "kl_divergence": (std**2 / 2 + mu**2 / 2 - torch.log(std) - 0.5).sum(),
        }


RUNNERS = {"digits_ae": DigitsAERunner, "face_vae": FaceVAERunner}


class TorchReference:
    """A reference model with its optimiser, driven with NumPy arrays.

    Args:
        name: one of ``vae_jax.MODELS``.
        dtype: ``np.float32`` or ``np.float64``.
        tensors: weights to load; default: PyTorch's own initialisation from ``seed``.
        seed: of that initialisation.
        **hyper: the module's sizes where they differ from the tutorial's.
    """

    def __init__(
        self, name: str, dtype, tensors: Tensors | None = None, seed: int = 0, **hyper: Any
    ):
        self.runner = RUNNERS[name]
        self.dtype = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        torch.manual_seed(seed)
        self.model = self.runner.module(**hyper).to(self.dtype)
        if tensors is not None:
            self.model.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()})
        self.optimizer: torch.optim.Adam | None = None

    def state_dict(self) -> Tensors:
        """Weights and statistics."""
        return {k: v.detach().numpy().copy() for k, v in self.model.state_dict().items()}

    def forward(self, image, noise, *, train: bool = False) -> dict[str, np.ndarray]:
        """The outputs, without gradients and (in eval mode) without touching the statistics."""
        self.model.train(train)
        with torch.no_grad():
            outputs = self.runner.forward(self.model, self._tensor(image), self._tensor(noise))
        return {k: v.numpy().copy() for k, v in outputs.items()}

    def backward(self, image, noise) -> tuple[dict[str, float], Tensors]:
        """Loss terms with the total, and every parameter's gradient, in train mode."""
        self.model.train()
        self.model.zero_grad()
        terms = self.runner.loss(self.model, self._tensor(image), self._tensor(noise))
        loss = sum(terms.values())
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        gradients = {k: _grad(p).numpy().copy() for k, p in self.model.named_parameters()}
        return {k: float(v.detach()) for k, v in {"loss": loss, **terms}.items()}, gradients

    def step(self, recipe: Recipe, image, noise) -> dict[str, float]:
        """One step of the tutorial's optimiser; its loss terms."""
        if self.optimizer is None:
            self.optimizer = torch.optim.Adam(
                self.model.parameters(),
                lr=recipe.learning_rate,
                betas=(recipe.beta1, recipe.beta2),
                eps=recipe.epsilon,
                weight_decay=recipe.weight_decay,
            )
        terms, _ = self.backward(image, noise)
        self.optimizer.step()
        return terms

    def moments(self) -> dict[str, Tensors]:
        """Adam's ``exp_avg`` and ``exp_avg_sq`` by parameter name."""
        assert self.optimizer is not None, "no step taken yet"
        state = self.optimizer.state
        return {
            moment: {k: state[p][moment].numpy().copy() for k, p in self.model.named_parameters()}
            for moment in ("exp_avg", "exp_avg_sq")
        }

    def _tensor(self, array: Any):
        return None if array is None else torch.tensor(np.asarray(array), dtype=self.dtype)


def _grad(parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


def versions() -> str:
    """The framework and its version, for a report's title."""
    return f"PyTorch {torch.__version__}"
