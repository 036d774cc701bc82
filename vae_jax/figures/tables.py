"""Draw tables of pictures: samples, reconstructions, manifolds, interpolations and comparisons.

Source: tutorial 004's ``show_image`` (10 x 20 samples), its cell 10 (20 x 20 manifold) and cell 11
(2 x 10: posterior above prior). The tutorial makes one axes per picture, which takes seconds for
400; here all are one image, made dot by dot at the size it is shown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae_jax.figures.drawing import Images, displayable, new_figure

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.text

_GAP = 0.05  # fraction of a picture: the tutorial's wspace and hspace
_INCHES = 12  # largest width and height of a table's pictures
_DPI = 100
_LARGEST = 200  # most dots per side of a picture, so that a few pictures do not fill the width
_BORDER = 0.1  # inches around everything
_LINE = 0.2  # inches for a heading above a row, and for the captions below it
_CENTRED = {
    "fontsize": 8,
    "horizontalalignment": "center",
    "verticalalignment": "center",
    "parse_math": False,
}


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Places in a table, in dots.

    Attributes:
        rows: number of rows.
        columns: pictures per row.
        height: of a picture.
        width: of a picture.
        above: room for the heading of a row.
        below: room for the captions of a row.
    """

    rows: int
    columns: int
    height: int
    width: int
    above: int = 0
    below: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Return the table's height and width, without a gap behind the last pictures."""
        return (
            self.top(self.rows) - _gap(self.height) - self.above,
            self.left(self.columns) - _gap(self.width),
        )

    def top(self, row: int) -> int:
        """Return the first dot of a row's pictures."""
        return row * (self.height + _gap(self.height) + self.above + self.below) + self.above

    def left(self, column: int) -> int:
        """Return the first dot of a column's pictures."""
        return column * (self.width + _gap(self.width))


def image_table(
    images: Images,
    num_columns: int,
    *,
    cmap: str = "gray",
    own_range: bool = True,
    row_titles: Sequence[str] | None = None,
    headings: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    title: str | None = None,
) -> matplotlib.figure.Figure:
    """Draw pictures row by row with thin white gaps: the tutorial's ``GridSpec`` tables.

    The pictures are at most 12 inches wide and high together. A pixel is a square of whole dots; if
    the pictures have more pixels than fit, the figure gets more dots per inch.

    Args:
        images: [N, H, W, C] with one or three channels; free places in the last row stay white.
        num_columns: pictures per row.
        cmap: Matplotlib's colour map for one-channel pictures.
        own_range: scale each one-channel picture from its smallest to its largest value, as the
            tutorial's ``imshow`` does, so that a faint picture shows at full contrast; otherwise
            from 0 to 1, as colour pictures always are.
        row_titles: titles to the left of the rows.
        headings: titles above the rows.
        captions: texts below the pictures, one each.
        title: title above the table.

    Raises:
        ValueError: there are no pictures or columns, or another number of channels or texts.
    """
    stack = np.asarray(images)
    if len(stack) == 0 or num_columns < 1 or stack.shape[-1] not in (1, 3):
        raise ValueError(
            f"images {stack.shape} in {num_columns} columns: at least one image of 1 or 3"
            " channels and one column are needed"
        )
    columns = min(num_columns, len(stack))
    rows = -(-len(stack) // columns)
    for texts, name, count in (
        (row_titles, "row titles", f"{rows} rows"),
        (headings, "headings", f"{rows} rows"),
        (captions, "captions", f"{len(stack)} pictures"),
    ):
        if texts is not None and len(texts) != int(count.split()[0]):
            raise ValueError(f"{len(texts)} {name} for {count}")

    large, scale = _coloured(stack, cmap, own_range), _scale(stack.shape[1:3], rows, columns)
    large = large.repeat(scale, axis=1).repeat(scale, axis=2)
    layout = _Layout(rows, columns, *large.shape[1:3])
    dpi = max(_DPI, max(layout.size) / _INCHES)
    line = math.ceil(_LINE * dpi)
    layout = dataclasses.replace(
        layout, above=line if headings else 0, below=line if captions else 0
    )
    figure = new_figure((1, 1), dpi=dpi)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(_mosaic(large, layout), interpolation="nearest")
    axes.set_axis_off()
    if captions:
        _write_captions(axes, layout, captions)
    _fit(axes, layout, row_titles or (), headings or (), title)
    return figure


def _coloured(stack: np.ndarray, cmap: str, own_range: bool) -> np.ndarray:
    """Convert pictures to bytes, [N, H, W, 3]."""
    from matplotlib import colormaps

    if stack.shape[-1] == 3:
        return np.rint(displayable(stack) * 255).astype(np.uint8)
    values = (_stretched(stack) if own_range else displayable(stack))[..., 0]
    colours = colormaps[cmap]
    # Matplotlib truncates colours to bytes instead of rounding, which darkens a tenth by one.
    table = np.rint(colours(np.arange(colours.N))[:, :3] * 255).astype(np.uint8)
    return table[np.minimum((values * colours.N).astype(np.intp), colours.N - 1)]


def _stretched(stack: np.ndarray) -> np.ndarray:
    """Scale each picture's finite values to 0 to 1.

    NaN counts as the smallest value; a picture with a single value becomes 0, as in Matplotlib.
    """
    values = stack.astype(np.float64)
    finite = np.isfinite(values)
    low, high = (
        np.where(finite.any(axis=(1, 2, 3), keepdims=True), bound, 0.0)
        for bound in (
            values.min(axis=(1, 2, 3), keepdims=True, where=finite, initial=np.inf),
            values.max(axis=(1, 2, 3), keepdims=True, where=finite, initial=-np.inf),
        )
    )
    values = np.clip(np.where(np.isnan(values), low, values), low, high)
    return (values - low) / np.where(high > low, high - low, 1.0)


def _scale(size: tuple[int, ...], rows: int, columns: int) -> int:
    """Return the side of a pixel in dots."""
    height, width = size
    dots = _INCHES * _DPI / (1 + _GAP)
    fitting = min(dots / (columns * width), dots / (rows * height), _LARGEST / max(height, width))
    return max(1, int(fitting))


def _mosaic(pictures: np.ndarray, layout: _Layout) -> np.ndarray:
    """Arrange pictures [N, H, W, 3] on white."""
    mosaic = np.full((*layout.size, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = layout.top(index // layout.columns), layout.left(index % layout.columns)
        mosaic[top : top + layout.height, left : left + layout.width] = picture
    return mosaic


def _gap(size: int) -> int:
    return max(1, round(_GAP * size))


def _write_captions(axes: matplotlib.axes.Axes, layout: _Layout, captions: Sequence[str]) -> None:
    for index, caption in enumerate(captions):
        row, column = divmod(index, layout.columns)
        axes.text(
            layout.left(column) + layout.width / 2 - 0.5,
            layout.top(row) + layout.height + layout.below / 2 - 0.5,
            caption,
            **_CENTRED,
        )


def _fit(
    axes: matplotlib.axes.Axes,
    layout: _Layout,
    row_titles: Sequence[str],
    headings: Sequence[str],
    title: str | None,
) -> None:
    """Add titles, and size the figure so that each dot of the mosaic is a dot of the figure."""
    figure, (height, width) = axes.get_figure(root=True), layout.size
    assert figure is not None
    border = math.ceil(_BORDER * figure.dpi)
    names = [
        axes.annotate(
            name,
            (0, layout.top(row) + layout.height / 2 - 0.5),
            (-6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="center",
        )
        for row, name in enumerate(row_titles)
    ]
    above: list[matplotlib.text.Text] = [
        axes.text(width / 2 - 0.5, layout.top(row) - layout.above / 2 - 0.5, text, **_CENTRED)
        for row, text in enumerate(headings)
    ]
    left = right = top = border
    if names:
        left += max(math.ceil(name.get_window_extent().width) for name in names) + border
    if title:
        above.append(axes.set_title(title, parse_math=False))
        top += math.ceil(above[-1].get_window_extent().height) + border
    for text in above:
        overhang = math.ceil((text.get_window_extent().width - width) / 2) + border
        left, right = max(left, overhang), max(right, overhang)
    whole_width, whole_height = left + width + right, top + height + border
    # Add a hundredth of a dot, because Matplotlib rounds a size of 999.9999 dots down.
    figure.set_size_inches((whole_width + 0.01) / figure.dpi, (whole_height + 0.01) / figure.dpi)
    axes.set_position(
        (
            left / whole_width,
            border / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )
