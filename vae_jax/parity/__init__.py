"""Proof that a port computes what its original computes."""

from vae_jax.parity.check import compare_models

__all__ = ["compare_models"]
