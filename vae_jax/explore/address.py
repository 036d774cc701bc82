"""The explorer's address, and whether a browser can show it.

Nothing heavy is imported here, so that a port in use is reported before the model is loaded.
"""

from __future__ import annotations

import os
import socket
import sys

from vae_jax.errors import UserError

HOST = "127.0.0.1"
"""Only reachable from this machine."""


def free_port(port: int) -> int:
    """Return the port after checking that it is free, or any free port for 0.

    Raises:
        UserError: the port is in use.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            trial.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another --port, "
                "or --port 0 for a free one"
            ) from error
        return trial.getsockname()[1]


def has_display() -> bool:
    """Return whether a browser could open a window."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
