"""Checkpoints in and out: readers, writers, and the mapping between names."""

from vae_jax.convert.mapping import export_weights, import_weights
from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.write import write_checkpoint

__all__ = ["export_weights", "import_weights", "read_checkpoint", "write_checkpoint"]
