"""Project points of a large latent space to two dimensions.

Sources: K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901
(principal components); L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vae_jax.errors import MissingExtraError, UserError
from vae_jax.typing import AnyArray, Float

_PERPLEXITY = 30  # effective number of neighbours, scikit-learn's default


class Components(NamedTuple):
    """Principal components, all float64.

    Attributes:
        coordinates: the points' coordinates along the axes, relative to their mean, [N, count].
        axes: orthonormal axes, the one of the largest variance first, [count, L].
        explained_fraction: each axis's share of the points' variance, [count].
    """

    coordinates: Float[np.ndarray, "N count"]
    axes: Float[np.ndarray, "count L"]
    explained_fraction: Float[np.ndarray, " count"]


def principal_components(points: Float[AnyArray, "N L"], count: int = 2) -> Components:
    """Return the axes along which points vary most, and the points' coordinates on them.

    Uses a singular value decomposition of the centred points in float64. Each axis is oriented so
    that its largest entry by magnitude is positive, which keeps pictures from being mirrored at
    random. If all points are equal, the fractions are 0.

    Args:
        points: [N, L].
        count: the number of axes, at most N and L.

    Raises:
        UserError: there are fewer points or latents than axes, or a point is not finite.
    """
    array = np.asarray(points, np.float64)
    if not 1 <= count <= min(array.shape):
        raise UserError(
            f"{count} principal components of {array.shape[0]} points of {array.shape[1]} latents; "
            f"expected 1 to {min(array.shape)}"
        )
    _require_finite(array)
    centred = array - array.mean(axis=0, keepdims=True)
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:count]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1, keepdims=True), axis=1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    variance = spread**2
    fraction = variance[:count] / (variance.sum() or 1.0)
    return Components(centred @ axes.T, axes, fraction)


def tsne(points: Float[AnyArray, "N L"], seed: int = 0) -> Float[np.ndarray, "N 2"]:
    """Project points to two dimensions by scikit-learn's t-SNE, which keeps near neighbours near.

    Distances between distant groups, and the axes, have no meaning. It starts from the principal
    components, so the seed only matters for ties.

    Args:
        points: [N, L].
        seed: seed of scikit-learn's random numbers.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UserError: there are fewer than 3 points, or a point is not finite.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "workbench", "t-SNE") from error
    array = np.asarray(points, np.float64)
    if len(array) < 3:
        raise UserError(f"t-SNE of {len(array)} points; expected at least 3")
    _require_finite(array)
    # The perplexity must be below the number of points: with few points use a third of them.
    perplexity = min(_PERPLEXITY, (len(array) - 1) / 3)
    return TSNE(perplexity=perplexity, random_state=seed).fit_transform(array).astype(np.float64)


def _require_finite(points: np.ndarray) -> None:
    if not np.isfinite(points).all():
        count = np.count_nonzero(~np.isfinite(points).all(axis=1))
        raise UserError(f"{count} of {len(points)} encodings are not finite; the weights hold NaN?")
