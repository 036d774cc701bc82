"""Spaces in which faces can be averaged, added and subtracted: latents, or the pixels themselves.

All that is measured works on points [N, D] of a space, whatever it is, so that a VAE, a plain
autoencoder and no model at all go through the same code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vae_jax.distributions import DiagonalGaussian
from vae_jax.errors import UserError
from vae_jax.latents import latent_points
from vae_jax.typing import Float, Int, Key


@dataclasses.dataclass(frozen=True)
class Space:
    """A space of points that stand for training images.

    Attributes:
        name: as the tables call it.
        points: numbers [M] of training images, and a key, to a point of each, [M, D].
        pictures: points [N, D] to pictures [N, H, W, C] in [0, 1].
    """

    name: str
    points: Callable[[Any, Key], Any]
    pictures: Callable[[Any], np.ndarray]


def latent_space(
    name: str, encoded: DiagonalGaussian, decode: Callable[[Any], np.ndarray], *, sampled: bool
) -> Space:
    """Return the latents of a model as a space.

    Args:
        name: as the tables call it.
        encoded: the posteriors of the training images, [N, L].
        decode: latents [M, L] to pictures in [0, 1].
        sampled: whether an image's point is a draw of its posterior, as the tutorial's is, or the
            posterior's mean.
    """

    def points(numbers: Any, key: Key) -> np.ndarray:
        some = DiagonalGaussian(encoded.mean[numbers], encoded.log_std[numbers])
        return np.asarray(latent_points(some, key if sampled else None))

    return Space(name, points, decode)


def pixel_space(name: str, images: np.ndarray) -> Space:
    """Return the pixels themselves as a space; what leaves [0, 1] is clipped.

    Args:
        name: as the tables call it.
        images: the training images as stored, uint8 [N, H, W, C]; they may be a memory map.
    """
    shape = images.shape[1:]

    def points(numbers: Any, key: Key) -> np.ndarray:
        return images[numbers].reshape(len(numbers), -1) / np.float32(255)

    def pictures(points: Any) -> np.ndarray:
        return np.clip(points, 0, 1).reshape(-1, *shape)

    return Space(name, points, pictures)


def group_means(
    space: Space, numbers: Int[np.ndarray, "G K"], key: Key
) -> Float[np.ndarray, "G D"]:
    """Return the mean point of each group of K images, [G, D]: listing 7.8 for many groups."""
    points = space.points(numbers.reshape(-1), key)
    return np.asarray(points).reshape(*numbers.shape, -1).mean(axis=1)


def draw_groups(
    members: Int[np.ndarray, " M"], num_groups: int, size: int, key: Key
) -> Int[np.ndarray, "G K"]:
    """Draw random groups of images, [num_groups, size].

    No image is twice in a group, and none in two groups before every image that fits was used
    once: groups are independent while there are images enough, so that binomial errors hold.

    Args:
        members: numbers of the images to draw from.
        num_groups: how many.
        size: images a group.
        key: of the draws.

    Raises:
        UserError: there are fewer images than a group has.
    """
    per_round = len(members) // size
    if not per_round:
        raise UserError(
            f"a group of {size} images of {len(members)} with its attributes: take more data, or "
            "smaller groups"
        )
    rounds = []
    for number in range(-(-num_groups // per_round)):
        order = np.asarray(jax.random.permutation(jax.random.fold_in(key, number), len(members)))
        rounds.append(members[order[: per_round * size]].reshape(per_round, size))
    return np.concatenate(rounds)[:num_groups]
