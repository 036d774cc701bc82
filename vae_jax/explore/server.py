"""The explorer's server, which only this machine's browser can reach."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any

import click
from nicegui import app, ui
from nicegui.server import Server
from starlette.middleware.trustedhost import TrustedHostMiddleware

from vae_jax.explore.address import HOST, has_display
from vae_jax.explore.page import Page
from vae_jax.explore.pictures import MAX_UPLOAD
from vae_jax.explore.session import Session

MAX_REQUEST = MAX_UPLOAD + 100_000
"""Most bytes of a request: an upload, and what a form adds to it."""
ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' "
    "rx='7' fill='#1d4ed8'/><circle cx='12' cy='19' r='5' fill='#fff'/><circle cx='21' cy='12' "
    "r='3.5' fill='#93c5fd'/></svg>"
)


class LimitRequests:
    """ASGI middleware that refuses requests that are too large or state no length.

    NiceGUI limits uploads only in the browser, so another program could fill the disk.
    """

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        claimed = headers.get(b"content-length", b"0")
        if not claimed.isdigit() or int(claimed) > MAX_REQUEST or b"transfer-encoding" in headers:
            text = f"expected a request of at most {MAX_REQUEST} bytes, with its length".encode()
            kind = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 413, "headers": kind})
            await send({"type": "http.response.body", "body": text})
            return
        await self.app(scope, receive, send)


def serve(session: Session, port: int, *, open_browser: bool) -> None:
    """Serve the page until Ctrl-C.

    Args:
        session: the model to explore.
        port: a port from ``free_port``.
        open_browser: whether to open the page if there is a display.
    """
    app.add_middleware(LimitRequests)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    app.on_startup(partial(_announce, f"http://{HOST}:{port}"))
    with contextlib.suppress(KeyboardInterrupt):
        ui.run(
            lambda: Page(session).build(),
            host=HOST,
            port=port,
            title=f"{session.name}, explored",
            favicon=ICON,
            show=open_browser and has_display(),
            reload=False,
            show_welcome_message=False,
            message_history_length=100,  # each can be a picture
            timeout_graceful_shutdown=1,
        )
    click.echo("stopped")


async def _announce(url: str) -> None:
    while not Server.instance.started:
        await asyncio.sleep(0.01)
    click.echo(f"ready: {url} (Ctrl-C stops it)")
