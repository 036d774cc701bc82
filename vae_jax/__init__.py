"""Variational autoencoders from the tutorials, in JAX."""
