"""Arithmetic with encodings: means of groups, weighted sums, directions of attributes.

Source: tutorial 002, listings 7.8 (group encodings) and 7.9 (arithmetic).
"""

from __future__ import annotations

from collections.abc import Mapping

from vae_jax.distributions import Deterministic, Posterior, example_noise
from vae_jax.errors import UserError
from vae_jax.typing import AnyArray, Float, Key, Latent

_TOLERANCE = 1e-6


def latent_points(posterior: Posterior, key: Key | None = None) -> Latent:
    """Return a point per image: a draw from its posterior, or the posterior's mean without a key.

    A plain autoencoder's points are its latents, whatever the key.

    Args:
        posterior: of the images, with means [N, L].
        key: key of the draws, split into one key per image; None for the means.

    Returns:
        [N, L].
    """
    z = posterior.mean
    if key is None or isinstance(posterior, Deterministic):
        return z
    count, width = z.shape
    return posterior.reparameterize(example_noise(key, count, width).astype(z.dtype))


def group_encoding(posterior: Posterior, key: Key | None = None) -> Float[AnyArray, " L"]:
    """Return the encoding of a group of images: the mean of their points.

    With a key it is the mean of one draw per image, as in the tutorial, whose encoder samples its
    third output, even in eval mode. Without a key it is the mean of the posteriors' means, around
    which the means of draws scatter.

    Args:
        posterior: of the images, with means [N, L].
        key: key of the draws; None for the means.

    Returns:
        [L].

    Raises:
        ValueError: the group is empty.
    """
    return _mean(latent_points(posterior, key))


def _mean(z: Float[AnyArray, "N L"]) -> Float[AnyArray, " L"]:
    if len(z) == 0:
        raise ValueError("a group of no images has no encoding")
    return z.mean(axis=0)


def combine(
    weights: Mapping[str, float], encodings: Mapping[str, Float[AnyArray, " L"]]
) -> Float[AnyArray, " L"]:
    """Return the weighted sum of named encodings, [L], added in the order of the weights.

    Args:
        weights: names to weights, as ``parse_expression`` returns them; at least one.
        encodings: names to encodings [L]; those without a weight are ignored.

    Raises:
        ValueError: there are no weights, or a weight without an encoding.
    """
    missing = [name for name in weights if name not in encodings]
    if missing or not weights:
        raise ValueError(f"{len(weights)} weights; no encoding of {', '.join(missing) or 'any'}")
    first, *others = (weight * encodings[name] for name, weight in weights.items())
    return sum(others, start=first)


def require_affine(weights: Mapping[str, float]) -> None:
    """Check that weights sum to 1, within 1e-6.

    Raises:
        UserError: they do not.
    """
    total = sum(weights.values())
    if abs(total - 1) > _TOLERANCE:
        raise UserError(
            f"the weights sum to {total:g}, expected 1 (unbalanced): only then is a sum of "
            "encodings an encoding"
        )


def direction(
    encodings_with: Float[AnyArray, "M L"], encodings_without: Float[AnyArray, "N L"]
) -> Float[AnyArray, " L"]:
    """Return the direction of an attribute: the difference of the means with and without it.

    Add it to an encoding to add the attribute: ``z + strength * direction``; a negative strength
    removes the attribute, one above 1 exaggerates it.

    Args:
        encodings_with: points of images with the attribute, [M, L].
        encodings_without: points of images without it, [N, L].

    Returns:
        [L].

    Raises:
        ValueError: a group is empty.
    """
    return _mean(encodings_with) - _mean(encodings_without)
