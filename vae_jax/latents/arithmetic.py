"""Arithmetic of encodings: the encoding of a group, weighted sums, the direction of an attribute.

Source: tutorial 002, listings 7.8 (group encodings) and 7.9 (arithmetic).
"""

from __future__ import annotations

from collections.abc import Mapping

from vae_jax.distributions import Deterministic, Posterior, example_noise
from vae_jax.errors import UserError
from vae_jax.typing import AnyArray, Float, Key, Latent

_TOLERANCE = 1e-6


def latent_points(posterior: Posterior, key: Key | None = None) -> Latent:
    """A point z for each image: a draw of its posterior, or without a key the posterior's mean.

    A plain autoencoder has nothing to sample: its latents are the points, whatever the key.

    Args:
        posterior: of images, with means [N, L].
        key: of the draws, one an image from a key of its own; None for none.

    Returns:
        [N, L].
    """
    z = posterior.mean
    if key is None or isinstance(posterior, Deterministic):
        return z
    count, width = z.shape
    return posterior.reparameterize(example_noise(key, count, width).astype(z.dtype))


def group_encoding(posterior: Posterior, key: Key | None = None) -> Float[AnyArray, " L"]:
    """The point that stands for a group of images: the mean of their points.

    With a key it is the mean of one draw an image, as in the tutorial, whose encoder's third
    output is sampled, in eval mode too. Without, it is the mean of the posteriors' means, around
    which that of draws scatters. Of a plain autoencoder it is the mean of the latents.

    Args:
        posterior: of the group's images.
        key: of the draws; None for none.

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
    """The weighted sum of named encodings, [L], added in the order of the weights.

    Args:
        weights: name to weight, as ``parse_expression`` returns them; at least one.
        encodings: name to encoding [L]; more than the weights name will do.

    Raises:
        ValueError: no weights, or one without an encoding.
    """
    missing = [name for name in weights if name not in encodings]
    if missing or not weights:
        raise ValueError(f"{len(weights)} weights; no encoding of {', '.join(missing) or 'any'}")
    first, *others = (weight * encodings[name] for name, weight in weights.items())
    return sum(others, start=first)


def require_affine(weights: Mapping[str, float]) -> None:
    """Checks that weights sum to 1, within 1e-6.

    Raises:
        UserError: they do not.
    """
    total = sum(weights.values())
    if abs(total - 1) > _TOLERANCE:
        raise UserError(
            f"the weights sum to {total:g}, expected 1 (unbalanced): an arithmetic of encodings is "
            "a point only if its weights sum to 1"
        )


def direction(
    encodings_with: Float[AnyArray, "M L"], encodings_without: Float[AnyArray, "N L"]
) -> Float[AnyArray, " L"]:
    """The way from images without an attribute to images with it: the difference of the means.

    Add it to an encoding to add the attribute: ``z + strength * direction``; a negative strength
    takes it away, one beyond 1 exaggerates.

    Args:
        encodings_with: points of images with the attribute, [M, L].
        encodings_without: points of images without it, [N, L].

    Returns:
        [L].

    Raises:
        ValueError: one of the two is empty.
    """
    return _mean(encodings_with) - _mean(encodings_without)
