"""Read and write checkpoints, and map the reference's tensors to Flax variables and back."""

from vae_jax.convert.mapping import export_weights, import_weights
from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.write import write_checkpoint

__all__ = ["export_weights", "import_weights", "read_checkpoint", "write_checkpoint"]
