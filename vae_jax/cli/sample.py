"""``vae-jax sample``: draw samples, or write them as arrays or single pictures."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import PicturePath, label_option, seed_option, trained_options

if TYPE_CHECKING:
    from vae_jax.cli.drawing import Samples
    from vae_jax.pretrained import Pretrained

_ARRAYS = (".npy", ".npz")


class SamplesPath(PicturePath):
    """A picture, a file of arrays, or a folder: a name without a suffix, or one that ends in /."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path; fail if its suffix is unknown or the folder is not empty."""
        if not _is_folder(value):
            return super().convert(value, param, ctx)
        folder = Path(value)
        if folder.is_dir() and any(folder.iterdir()):
            self.fail(f"{value} is a folder that is not empty; choose another", param, ctx)
        return value


@click.command()
@trained_options
@click.option(
    "--count",
    type=click.IntRange(1),
    show_default="as in the tutorial's figure",
    help="Images to draw; for a model with labels, images per label.",
)
@label_option
@seed_option
@click.option(
    "--out",
    default="samples.png",
    type=SamplesPath(*_ARRAYS),
    help="The picture to write; or .npy or .npz for arrays in [0, 1], or a folder (a name without "
    "an ending) for one PNG per sample.",
)
def sample(
    loaded: Pretrained,
    count: int | None,
    label: tuple[int, ...],
    seed: int,
    out: str,
) -> None:
    """Draw images that TRAINED decodes from the prior.

    TRAINED is a run folder, a Flax checkpoint folder or a reference checkpoint file. A model with
    labels draws one row per label, or per --label given. An .npz file holds images
    [N, H, W, C] and, for such a model, labels [N]; an .npy file only the images.
    """
    from vae_jax import figures
    from vae_jax.cli.drawing import draw_samples, sample_figure

    samples = draw_samples(loaded, count, seed, label)
    if _is_folder(out):
        _write_folder(Path(out), samples)
    elif out.lower().endswith(_ARRAYS):
        _write_arrays(Path(out), samples)
    else:
        figures.save_figure(sample_figure(loaded, samples), out)
    click.echo(f"{len(samples.images)} {samples.title}: {out}")


def _is_folder(out: str) -> bool:
    return out.endswith("/") or Path(out).is_dir() or not Path(out).suffix


def _write_arrays(path: Path, samples: Samples) -> None:
    import numpy as np

    from vae_jax.files import replacing

    # Given a name instead of a file, NumPy would add its own suffix to one in capitals.
    with replacing(path, parents=True) as (draft,), open(draft, "wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, samples.images)
        elif samples.labels is None:
            np.savez_compressed(file, images=samples.images)
        else:
            np.savez_compressed(file, images=samples.images, labels=samples.labels)


def _write_folder(folder: Path, samples: Samples) -> None:
    """Write one PNG per sample: 000.png, or 7_000.png for sample 0 of label 7."""
    import numpy as np
    import PIL.Image

    from vae_jax.figures.drawing import displayable
    from vae_jax.files import replacing

    count = len(samples.images)
    digits = len(str(count - 1))
    names = [f"{n:0{digits}}.png" for n in range(count)]
    if samples.labels is not None:
        seen = collections.Counter[int]()
        names = []
        for label in samples.labels.tolist():
            names.append(f"{label}_{seen[label]:0{digits}}.png")
            seen[label] += 1
    with replacing(folder, parents=True) as (draft,):
        draft.mkdir()
        for name, image in zip(names, displayable(samples.images), strict=True):
            pixels = np.rint(image * 255).astype(np.uint8)
            grey = pixels.shape[-1] == 1
            PIL.Image.fromarray(pixels[..., 0] if grey else pixels).save(draft / name)
