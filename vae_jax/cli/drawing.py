"""Images in [0, 1] for commands that draw, and the figure that a tutorial draws per epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from vae_jax import figures
from vae_jax.data import Dataset, Split, first_of_each_class
from vae_jax.errors import DataError, UserError
from vae_jax.pretrained import Label, Pretrained
from vae_jax.training.run import Run, writing
from vae_jax.typing import AnyArray, Variables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUM_SAMPLES = 18  # tutorial 002, plot_epoch
TABLE_ROWS, TABLE_COLUMNS = 10, 20  # tutorial 004, show_image
SAMPLE_SEED = 0  # the same latents after every epoch, to compare the figures


def epoch_figure(run: Run, dataset: Dataset) -> Callable[[int, Variables], None]:
    """Return a function of the epoch and the variables that writes ``figures/epoch_NNN.png``."""
    held_out = dataset.test or dataset.train

    def draw(epoch: int, variables: Variables) -> None:
        loaded = Pretrained(run.model, run.hyper, variables, run.recipe)
        title = f"{run.model}, epoch {epoch}"
        if loaded.spec.epoch_figure == "reconstructions":
            chosen = _one_of_each(held_out, len(dataset.class_names))
            pairs = reconstruct_unit(loaded, held_out.images[chosen], held_out.labels[chosen])
            figure = reconstruction_figure(loaded, run.recipe.data, pairs, title)
        else:
            figure = sample_figure(loaded, draw_samples(loaded, None, SAMPLE_SEED), title)
        path = run.figures / f"epoch_{epoch:03d}.png"
        with writing(path):
            figures.save_figure(figure, path)

    return draw


def decode_unit(loaded: Pretrained, z: AnyArray, label: Label | None = None) -> np.ndarray:
    """Decode latents [N, L] into images in [0, 1].

    Raises:
        UserError: the images are not finite.
    """
    images = loaded.decode(z, loaded.label_if_taken(label))
    loaded.require_finite(images)
    return loaded.to_unit(images)


def reconstruct_unit(
    loaded: Pretrained, stored: np.ndarray, label: Label | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return stored images [N, H, W, C] and their reconstructions, both in [0, 1]."""
    images = loaded.reconstruct(stored, loaded.label_if_taken(label))
    return stored.astype(np.float32) / 255, loaded.to_unit(images)


def sample_unit(
    loaded: Pretrained, count: int, seed: int, label: Label | None = None
) -> np.ndarray:
    """Decode seeded draws from the prior into images in [0, 1]."""
    return loaded.to_unit(loaded.sample(count, key=jax.random.key(seed), label=label))


class Samples(NamedTuple):
    """Decoded draws from the prior.

    Attributes:
        images: [N, H, W, C] in [0, 1].
        labels: class number of each, [N]; None for a model without labels.
        rows: a title per row of pictures; None for a model without labels.
        title: what was drawn.
    """

    images: np.ndarray
    labels: np.ndarray | None
    rows: list[str] | None
    title: str


def draw_samples(
    loaded: Pretrained, count: int | None, seed: int, labels: Sequence[int] = ()
) -> Samples:
    """Decode draws from the prior, by default as many as the model's tutorial draws.

    With labels, ``count`` is for each label, and each label's samples fill whole rows.

    Raises:
        UserError: as ``Pretrained.sample``, or labels for a model that takes none.
    """
    spec, title = loaded.spec, f"samples of {loaded.name}, seed {seed}"
    if not spec.num_classes:
        if labels:
            raise UserError(f"{loaded.name} takes no label; leave out label (--label)")
        usual = TABLE_ROWS * TABLE_COLUMNS if spec.epoch_figure == "sample table" else NUM_SAMPLES
        return Samples(sample_unit(loaded, count or usual, seed), None, None, title)
    columns = min(count or TABLE_COLUMNS, TABLE_COLUMNS)
    per_label = -(-(count or columns) // columns) * columns
    each = np.repeat(labels or range(spec.num_classes), per_label)
    rows = [str(label) for label in each[::columns]]
    return Samples(sample_unit(loaded, len(each), seed, each), each, rows, title)


def sample_figure(loaded: Pretrained, samples: Samples, title: str | None = None) -> Figure:
    """Draw samples as the model's tutorial does: in rows of six, or in a table of ten by twenty."""
    if samples.rows is None and loaded.spec.epoch_figure != "sample table":
        return figures.sample_grid(samples.images, title=title or samples.title)
    columns = TABLE_COLUMNS if samples.rows is None else len(samples.images) // len(samples.rows)
    return figures.image_table(
        samples.images, columns, row_titles=samples.rows, title=title or samples.title
    )


def reconstruction_figure(
    loaded: Pretrained, data: str | None, pairs: tuple[np.ndarray, np.ndarray], title: str
) -> Figure:
    """Draw originals and their reconstructions, both in [0, 1].

    Args:
        loaded: the model.
        data: the images' data source; None for pictures from elsewhere.
        pairs: the originals and the reconstructions.
        title: title above them.
    """
    # Only the tutorial's own digits are drawn as it draws them, dark on white.
    if loaded.spec.epoch_figure == "reconstructions" and data in ("digits", "tfds:mnist"):
        return figures.reconstruction_rows(*pairs, title=title)
    return figures.reconstruction_grid(*pairs, title=title)


def _one_of_each(split: Split, num_classes: int) -> np.ndarray:
    try:
        return first_of_each_class(split, num_classes)
    except DataError:  # a class without an example: draw what there is
        return np.arange(min(10, len(split)))
