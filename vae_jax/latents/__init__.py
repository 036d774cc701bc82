"""Work with encodings: arithmetic, interpolation, planes, projections and neighbours.

Everything here works on encodings, [L] or [N, L], of any model.
"""

from vae_jax.latents.arithmetic import (
    combine,
    direction,
    group_encoding,
    latent_points,
    require_affine,
)
from vae_jax.latents.attributes import attribute_column, attribute_columns, select_images
from vae_jax.latents.expressions import is_group_name, parse_expression
from vae_jax.latents.interpolation import interpolate
from vae_jax.latents.neighbours import nearest
from vae_jax.latents.planes import manifold_grid, plane
from vae_jax.latents.projections import Components, principal_components, tsne

__all__ = [
    "Components",
    "attribute_column",
    "attribute_columns",
    "combine",
    "direction",
    "group_encoding",
    "interpolate",
    "is_group_name",
    "latent_points",
    "manifold_grid",
    "nearest",
    "parse_expression",
    "plane",
    "principal_components",
    "require_affine",
    "select_images",
    "tsne",
]
