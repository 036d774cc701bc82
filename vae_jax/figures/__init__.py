"""Figures as the tutorials draw them; functions return figures and show none.

Matplotlib is used without pyplot, so there is no global state, no display is needed, and threads do
not interfere. ``save_figure`` writes a figure.
"""

from vae_jax.figures.animation import save_animation
from vae_jax.figures.curves import loss_curve
from vae_jax.figures.drawing import save_figure
from vae_jax.figures.images import (
    arithmetic_rows,
    denoising_rows,
    interpolation_strip,
    reconstruction_grid,
    reconstruction_rows,
    sample_grid,
)
from vae_jax.figures.latents import latent_scatter, value_scatter
from vae_jax.figures.tables import image_table

__all__ = [
    "arithmetic_rows",
    "denoising_rows",
    "image_table",
    "interpolation_strip",
    "latent_scatter",
    "loss_curve",
    "reconstruction_grid",
    "reconstruction_rows",
    "sample_grid",
    "save_animation",
    "save_figure",
    "value_scatter",
]
