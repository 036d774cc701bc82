"""The point that one browser tab looks at, and the panels that follow it."""

from __future__ import annotations

from collections.abc import Callable

from vae_jax.explore.session import Point, Session

Follower = Callable[[Point], None]

_CRISP_BELOW = 128  # pixels of an image's side: smaller ones are enlarged as squares


class Cursor:
    """A point of the latent space, shared by the panels of a page.

    Attributes:
        session: what computes.
        z: the point, [L].
        label: the class that pictures are decoded with, for a model that takes labels.
        crisp: CSS classes of a picture of the model.
    """

    def __init__(self, session: Session, on_move: Callable[[tuple[Point, int]], None]):
        """Start where the session does; a move calls ``on_move`` with its point and label."""
        self.session = session
        self.z, self.label = session.start, 0
        self.crisp = "crisp" if max(session.image_shape[:2]) < _CRISP_BELOW else ""
        self._on_move = on_move
        self._followers: list[Follower] = []

    def follow(self, follower: Follower) -> None:
        """Have a panel told of every move that it did not make itself."""
        self._followers.append(follower)

    def move(self, z: Point, by: Follower | None = None) -> None:
        """Go to a point [L]; ``by`` is the follower that need not be told."""
        self.z = z
        for follower in self._followers:
            if follower is not by:
                follower(z)
        self._on_move((z, self.label))
