"""Functions that all figures share: empty figures, displayable images and safe writing."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.errors import UserError
from vae_jax.files import replacing
from vae_jax.typing import Image, Pixels

if TYPE_CHECKING:
    import matplotlib.figure

Images = Image | Pixels
"""Images in [0, 1] or bytes."""


# Without dates and versions, so that the same figure gives the same file (but for SVG's ids).
_METADATA: dict[str, dict[str, None] | None] = {
    ".png": {"Software": None},
    ".jpg": None,
    ".jpeg": None,
    ".webp": None,
    ".pdf": {"CreationDate": None, "Producer": None},
    ".svg": {"Date": None},
}


def require_picture_suffix(path: str | os.PathLike[str], others: Sequence[str] = ()) -> str:
    """Return the suffix of a file to write, in lower case.

    Args:
        path: the file.
        others: suffixes to accept besides those that figures can be written in.

    Raises:
        UserError: the suffix is unknown.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _METADATA and suffix not in others:
        listed = ", ".join([*_METADATA, *others])
        found = f"ends in {suffix}" if suffix else "has no ending"
        raise UserError(f"{path} {found}; expected one of {listed}")
    return suffix


def save_figure(fig: matplotlib.figure.Figure, path: str | os.PathLike[str]) -> pathlib.Path:
    """Write a figure atomically in the format of the path's suffix, creating parent folders.

    Raises:
        UserError: the suffix is not that of a picture.
    """
    suffix = require_picture_suffix(path)
    with replacing(path, parents=True) as (draft,):
        fig.savefig(draft, format=suffix[1:], dpi="figure", metadata=_METADATA[suffix])
    return pathlib.Path(path)


def new_figure(size: tuple[int | float, int | float], dpi: int | float) -> matplotlib.figure.Figure:
    """Return an empty figure of a size in inches, with its own canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def displayable(images: object) -> np.ndarray:
    """Return images as float32 in [0, 1]; NaN of a diverged model becomes 0."""
    array = np.asarray(images)
    scaled = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    return np.clip(np.nan_to_num(scaled, nan=0.0), 0.0, 1.0)
