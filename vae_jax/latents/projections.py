"""Points of a large latent space in two dimensions, to look at.

Sources: K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901
(principal components); L. van der Maaten and G. Hinton, "Visualizing data using t-SNE", JMLR 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vae_jax.errors import MissingExtraError, UserError
from vae_jax.typing import AnyArray, Float

_PERPLEXITY = 30  # neighbours each point minds: scikit-learn's default


class Components(NamedTuple):
    """What ``principal_components`` returns, all float64.

    Attributes:
        coordinates: of the points along the axes, from their mean, [N, count].
        axes: orthonormal, that of the largest variance first, [count, L].
        explained_fraction: each axis's part of the points' variance, [count].
    """

    coordinates: Float[np.ndarray, "N count"]
    axes: Float[np.ndarray, "count L"]
    explained_fraction: Float[np.ndarray, " count"]


def principal_components(points: Float[AnyArray, "N L"], count: int = 2) -> Components:
    """The axes along which points vary most, and the points' coordinates on them.

    By singular value decomposition of the centred points in float64. Each axis points where its
    largest entry by magnitude is positive, so that a picture is never mirrored by chance. Points
    that are all the same have fractions of 0.

    Args:
        points: [N, L].
        count: how many axes, at most N and L.

    Raises:
        UserError: fewer points, or latents, than axes asked for; or a point is not finite.
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
    """Points in two dimensions whose near neighbours stay near: t-SNE, by scikit-learn.

    Distances between far groups, and the axes, mean nothing. It begins from the principal
    components, so that the seed only matters for ties.

    Args:
        points: [N, L].
        seed: of scikit-learn's random numbers.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UserError: fewer than 3 points, or a point is not finite.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "workbench", "t-SNE") from error
    array = np.asarray(points, np.float64)
    if len(array) < 3:
        raise UserError(f"t-SNE of {len(array)} points; expected at least 3")
    _require_finite(array)
    # Below 3 * 30 points, each minds a third of them: the perplexity must stay below their number.
    perplexity = min(_PERPLEXITY, (len(array) - 1) / 3)
    return TSNE(perplexity=perplexity, random_state=seed).fit_transform(array).astype(np.float64)


def _require_finite(points: np.ndarray) -> None:
    if not np.isfinite(points).all():
        count = np.count_nonzero(~np.isfinite(points).all(axis=1))
        raise UserError(f"{count} of {len(points)} encodings are not finite; the weights hold NaN?")
