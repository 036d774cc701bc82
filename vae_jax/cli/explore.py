"""``vae-jax explore``: explore a model's latent space in a browser."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import checkpoint_options, data_option, setup_jax

if TYPE_CHECKING:
    from vae_jax.data import Dataset
    from vae_jax.pretrained import Pretrained


@click.command()
@click.argument("trained")
@data_option
@click.option(
    "--port", default=8080, type=click.IntRange(0, 65535), help="Port of 127.0.0.1; 0: a free one."
)
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser.")
@checkpoint_options
def explore(
    trained: str,
    data: str | None,
    port: int,
    browser: bool,
    model: str | None,
    key: str | None,
    hyper: dict[str, object],
) -> None:
    """Explore the latent space of TRAINED in a browser, until Ctrl-C.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file. The page can
    only be reached from this machine. It decodes points of a plane, positions of sliders, draws
    from the prior, interpolations between two images and arithmetic with groups of images.
    """
    from vae_jax.errors import MissingExtraError

    try:
        importlib.import_module("nicegui")
    except ImportError as error:
        raise MissingExtraError("NiceGUI", "explore", "vae-jax explore") from error
    from vae_jax.explore.address import free_port

    port = free_port(port)
    setup_jax()
    from vae_jax.explore.server import serve
    from vae_jax.explore.session import Session
    from vae_jax.pretrained import load

    loaded = load(trained, model, key=key, **hyper)
    dataset = _open_data(loaded, data)
    serve(Session(loaded, trained, dataset), port, open_browser=browser)


def _open_data(loaded: Pretrained, data: str | None) -> Dataset | None:
    """Open the data named; or else the recipe's, if available."""
    from vae_jax.cli.encodings import training_data
    from vae_jax.errors import DataError

    try:
        return training_data(loaded, data)
    except DataError as error:
        if data:
            raise
        click.echo(f"without images to start from: {error}", err=True)
        return None
