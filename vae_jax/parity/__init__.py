"""Proof that the ports compute what the originals compute."""
