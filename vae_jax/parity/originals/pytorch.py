"""The PyTorch originals as modules, and what their tutorials compute with them.

Sources: tutorial 002, listings 7.1, 7.3 to 7.6, and tutorial 001, with the noise made an argument
and the device left to the caller.
"""

from __future__ import annotations

import math

from vae_jax.errors import MissingExtraError

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    raise MissingExtraError("PyTorch", "torch", "a live comparison with PyTorch") from error


class DigitsAE(nn.Module):
    """The autoencoder of listing 7.1."""

    def __init__(self, latent_size: int = 20, hidden_size: int = 200, input_size: int = 784):
        super().__init__()
        self.common = nn.Linear(input_size, hidden_size)
        self.encoded = nn.Linear(hidden_size, latent_size)
        self.l1 = nn.Linear(latent_size, hidden_size)
        self.decode = nn.Linear(hidden_size, input_size)

    def encoder(self, x):
        """Return the latents of flat images."""
        return self.encoded(F.relu(self.common(x)))

    def decoder(self, z):
        """Return flat images of latents."""
        return torch.sigmoid(self.decode(F.relu(self.l1(z))))

    def forward(self, x):
        """Return reconstructions and latents."""
        mu = self.encoder(x)
        return self.decoder(mu), mu


class FaceEncoder(nn.Module):
    """The encoder of listing 7.4, whose ``linear3`` gives the log of the std."""

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
        """Return mean, std and the latent drawn with the given noise."""
        x = F.relu(self.conv1(x))
        x = F.relu(self.batch2(self.conv2(x)))
        x = F.relu(self.conv3(x))
        x = F.relu(self.linear1(torch.flatten(x, start_dim=1)))
        mu, std = self.linear2(x), torch.exp(self.linear3(x))
        return mu, std, mu + std * noise


class FaceDecoder(nn.Module):
    """The decoder of listing 7.5."""

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
        """Return images of latents."""
        return torch.sigmoid(self.decoder_conv(self.unflatten(self.decoder_lin(z))))


class FaceVAE(nn.Module):
    """The VAE of section 7.4.1."""

    def __init__(self, latent_size: int = 100):
        super().__init__()
        self.encoder = FaceEncoder(latent_size)
        self.decoder = FaceDecoder(latent_size)

    def forward(self, x, noise):
        """Return mean, std and reconstruction."""
        mu, std, z = self.encoder(x, noise)
        return mu, std, self.decoder(z)


class ConvVAE(nn.Module):
    """The ``VAE`` of tutorial 001, with the layers that it leaves open filled in."""

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (28, 28, 1),
        widths: tuple[int, ...] = (32, 64),
        latent_size: int = 20,
        likelihood: str = "mse",
        scale: float = 1.0,
        learned_scale: bool = False,
        batch_norm: bool = False,
    ):
        super().__init__()
        self.likelihood, self.fixed_scale = likelihood, math.log(scale)
        height, width, channels = image_shape
        encoder, decoder, before = [], [], channels
        for index, after in enumerate(widths):
            norm = [nn.BatchNorm2d(after)] if batch_norm else []
            encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), *norm, nn.ReLU()]
            even = (1 - height % 2, 1 - width % 2)
            transposed = nn.ConvTranspose2d(after, before, 3, 2, 1, output_padding=even)
            norm = [nn.BatchNorm2d(before)] if batch_norm else []
            tail = [nn.Sigmoid()] if index == 0 else [*norm, nn.ReLU()]
            decoder = [transposed, *tail, *decoder]
            height, width, before = (height + 1) // 2, (width + 1) // 2, after
        in_dim = before * height * width
        self.encoder = nn.Sequential(*encoder, nn.Flatten())
        self.fc_mu = nn.Linear(in_dim, latent_size)
        self.fc_logvar = nn.Linear(in_dim, latent_size)
        self.decoder = nn.Sequential(
            nn.Linear(latent_size, in_dim),
            nn.ReLU(),
            nn.Unflatten(1, (before, height, width)),
            *decoder,
        )
        if learned_scale:
            self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, x, noise):
        """Return reconstruction, mean and log variance."""
        h = self.encoder(x)
        mu, logvar = self.fc_mu(h), self.fc_logvar(h)
        return self.decoder(mu + noise * torch.exp(0.5 * logvar)), mu, logvar

    def reconstruction(self, decoded, x):
        """Return the loss term summed over the batch."""
        if self.likelihood == "mse":
            return F.mse_loss(decoded, x, reduction="sum")
        if self.likelihood == "bernoulli":
            return F.binary_cross_entropy(decoded, x, reduction="sum")
        log_scale = torch.as_tensor(getattr(self, "log_scale", self.fixed_scale), dtype=x.dtype)
        return -torch.distributions.Normal(decoded, log_scale.exp()).log_prob(x).sum()


class DigitsAERunner:
    """``digits_ae`` with images [B, 28, 28, 1] in and out."""

    module = DigitsAE

    @staticmethod
    def forward(model, image, noise):
        """Return every tensor that the port must reproduce, by name."""
        del noise
        out, mu = model(image.reshape(len(image), -1))
        return {"latent": mu, "image": out.reshape(-1, 28, 28, 1)}

    @staticmethod
    def loss(model, image, noise):
        """Return the loss of listing 7.3."""
        del noise
        flat = image.reshape(len(image), -1)
        out, _ = model(flat)
        return {"reconstruction": ((out - flat) ** 2).sum()}


class FaceVAERunner:
    """``face_vae`` with images [B, 256, 256, 3] in and out."""

    module = FaceVAE

    @staticmethod
    def forward(model, image, noise):
        """Return every tensor that the port must reproduce, by name."""
        mu, std, out = model(image.permute(0, 3, 1, 2), noise)
        return {"mean": mu, "std": std, "image": out.permute(0, 2, 3, 1)}

    @staticmethod
    def loss(model, image, noise):
        """Return the loss terms of listing 7.6."""
        x = image.permute(0, 3, 1, 2)
        mu, std, out = model(x, noise)
        return {
            "reconstruction": ((x - out) ** 2).sum(),
            "kl_divergence": (std**2 / 2 + mu**2 / 2 - torch.log(std) - 0.5).sum(),
        }


class ConvVAERunner:
    """``conv_vae`` with images [B, H, W, C] in and out."""

    module = ConvVAE

    @staticmethod
    def forward(model, image, noise):
        """Return every tensor that the port must reproduce, by name."""
        out, mu, logvar = model(image.permute(0, 3, 1, 2), noise)
        std = torch.exp(0.5 * logvar)
        return {"mean": mu, "std": std, "image": out.permute(0, 2, 3, 1)}

    @staticmethod
    def loss(model, image, noise):
        """Return the terms of ``loss_function``, with the model's own reconstruction term."""
        x = image.permute(0, 3, 1, 2)
        out, mu, logvar = model(x, noise)
        kl = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()) / len(x)
        return {"reconstruction": model.reconstruction(out, x) / len(x), "kl_divergence": kl}


RUNNERS = {"digits_ae": DigitsAERunner, "face_vae": FaceVAERunner, "conv_vae": ConvVAERunner}
