"""Where the explorer is served, and whether anything here can show it.

Imports nothing heavy: a port that is taken is told before a model takes time to load.
"""

from __future__ import annotations

import os
import socket
import sys

from vae_jax.errors import UserError

HOST = "127.0.0.1"
"""This machine alone."""


def free_port(port: int) -> int:
    """The port itself, or one that is free for 0.

    Raises:
        UserError: the port is taken.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server sets it
        try:
            trial.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another --port, "
                "or --port 0 for a free one"
            ) from error
        return trial.getsockname()[1]


def has_display() -> bool:
    """Whether a browser could open a window."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
