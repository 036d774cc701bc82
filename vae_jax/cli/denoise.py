"""``vae-jax denoise``: add noise to clean images, and remove it with a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import (
    data_option,
    json_option,
    label_option,
    picture_option,
    seed_option,
    trained_options,
)

if TYPE_CHECKING:
    from vae_jax.pretrained import Pretrained


@click.command()
@trained_options
@click.argument("images", nargs=-1, type=click.Path())
@data_option
@click.option("--count", default=500, type=click.IntRange(1), help="Images to take from the data.")
@click.option("--show", default=10, type=click.IntRange(1), help="Images to draw.")
@click.option("--corrupt", help="gaussian:SIGMA, mask:P or salt-pepper:P; default: the run's.")
@label_option
@seed_option
@picture_option("denoised.png")
@json_option
def denoise(
    loaded: Pretrained,
    images: tuple[str, ...],
    data: str | None,
    count: int,
    show: int,
    corrupt: str | None,
    label: tuple[int, ...],
    seed: int,
    out: str,
    as_json: bool,
) -> None:
    """Draw images with noise, denoised by TRAINED, and clean; print the PSNR before and after.

    TRAINED is a run folder (of `vae-jax train --corrupt ...`), a Flax checkpoint folder or a
    reference checkpoint file. The images are the clean IMAGES given, or the first test images of
    a data source. The PSNR before denoising is printed for the noisy images as the model sees
    them, and for the same clipped to black and white as they are drawn: clipping by itself
    makes the error smaller.
    """
    import jax
    import numpy as np

    from vae_jax import figures
    from vae_jax.cli.drawing import decode_unit
    from vae_jax.cli.inputs import stored_images
    from vae_jax.corruption import corrupt as add_noise
    from vae_jax.corruption import psnr
    from vae_jax.data.pixels import scale_pixels
    from vae_jax.errors import UserError
    from vae_jax.recipe import parse_corruption

    corruption = parse_corruption(corrupt or loaded.recipe.corrupt)
    if corruption.kind == "none":
        source = click.get_current_context().params["trained"]
        raise UserError(
            f"{source} was not trained to denoise; choose the noise, such as --corrupt gaussian:0.3"
        )
    stored, labels = stored_images(loaded, images, data, count, label)
    clean = scale_pixels(stored, loaded.spec.pixel_range)
    keys = jax.random.split(jax.random.key(seed), len(stored))
    noisy = add_noise(corruption, keys, clean, loaded.spec.pixel_range)
    encoded = loaded.encode(noisy, labels, check_range=False)
    denoised = decode_unit(loaded, encoded.mean, labels)
    given = loaded.to_unit(noisy)
    shown, target = np.clip(given, 0, 1), stored.astype(np.float32) / 255
    before, cut_off, after = (
        float(np.mean(psnr(pictures, target, 1.0))) for pictures in (given, shown, denoised)
    )
    path = figures.save_figure(
        figures.denoising_rows(shown[:show], denoised[:show], target[:show]), Path(out)
    )
    if as_json:
        found = {"psnr_before": before, "psnr_before_cut_off": cut_off, "psnr_after": after}
        # JSON has no infinity, the PSNR of an image that the noise left unchanged.
        found = {name: value if math.isfinite(value) else None for name, value in found.items()}
        found = {"images": len(stored), "corrupt": str(corruption), **found}
        click.echo(json.dumps(found | {"picture": str(path)}))
    else:
        click.echo(
            f"{len(stored)} images, {corruption}: PSNR {before:.2f} dB before ({cut_off:.2f} "
            f"clipped to black and white), {after:.2f} dB after: {path}"
        )
