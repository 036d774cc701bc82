"""Layers that compute exactly what PyTorch's compute, channels last."""

from vae_jax.layers.batch_norm import BatchNorm
from vae_jax.layers.conv import Conv, ConvTranspose
from vae_jax.layers.dense import Dense

__all__ = ["BatchNorm", "Conv", "ConvTranspose", "Dense"]
