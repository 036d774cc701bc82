"""The point that a browser tab shows, and the panels that follow it."""

from __future__ import annotations

from collections.abc import Callable

from vae_jax.explore.session import Point, Session

Follower = Callable[[Point], None]

_CRISP_BELOW = 128  # pixels per side below which an image is enlarged as squares


class Cursor:
    """A point of the latent space, shared by the panels of a page.

    Attributes:
        session: decodes the points.
        z: the point, [L].
        label: the class to decode with, for a model with labels.
        crisp: CSS classes for the model's pictures.
    """

    def __init__(self, session: Session, on_move: Callable[[tuple[Point, int]], None]):
        """Start at the session's start; a move calls ``on_move`` with its point and label."""
        self.session = session
        self.z, self.label = session.start, 0
        self.crisp = "crisp" if max(session.image_shape[:2]) < _CRISP_BELOW else ""
        self._on_move = on_move
        self._followers: list[Follower] = []

    def follow(self, follower: Follower) -> None:
        """Notify a panel of every move that it did not make itself."""
        self._followers.append(follower)

    def move(self, z: Point, by: Follower | None = None) -> None:
        """Move to a point [L]; ``by`` is the follower that need not be notified."""
        self.z = z
        for follower in self._followers:
            if follower is not by:
                follower(z)
        self._on_move((z, self.label))
