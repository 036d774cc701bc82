"""Images in [0, 1] for commands that draw, and the figure that a tutorial draws per epoch."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from matplotlib.figure import Figure

from vae_jax import figures
from vae_jax.data import Dataset, Split, first_of_each_class
from vae_jax.errors import DataError, UserError
from vae_jax.pretrained import Label, Pretrained
from vae_jax.training.run import Run, writing
from vae_jax.typing import AnyArray, Variables

NUM_SAMPLES = 18  # tutorial 002, plot_epoch
TABLE_ROWS, TABLE_COLUMNS = 10, 20  # tutorial 004, show_image
SAMPLE_SEED = 0  # the same latents after every epoch, to compare the figures


def epoch_figure(run: Run, dataset: Dataset) -> Callable[[int, Variables], None]:
    """Return a function of the epoch and the variables that writes ``figures/epoch_NNN.png``."""
    held_out = dataset.test or dataset.train

    def draw(epoch: int, variables: Variables) -> None:
        loaded = Pretrained(run.model, run.hyper, variables, run.recipe)
        if loaded.spec.epoch_figure == "reconstructions":
            chosen = _one_of_each(held_out, len(dataset.class_names))
            pairs = reconstruct_unit(loaded, held_out.images[chosen], held_out.labels[chosen])
            figure = figures.reconstruction_rows(*pairs)
        else:
            figure = sample_figure(loaded, None, SAMPLE_SEED, None)
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


def sample_figure(
    loaded: Pretrained, count: int | None, seed: int, labels: list[int] | None
) -> Figure:
    """Draw samples as the model's tutorial does: 18 in rows of six, or ten rows of twenty.

    With labels, each label's samples begin a row.

    Raises:
        UserError: as ``Pretrained.sample``, or labels for a model that takes none.
    """
    spec = loaded.spec
    if not spec.num_classes:
        if labels:
            raise UserError(f"{loaded.name} takes no label; leave out label (--label)")
        if spec.epoch_figure != "sample table":
            return figures.sample_grid(sample_unit(loaded, count or NUM_SAMPLES, seed))
        pictures = sample_unit(loaded, count or TABLE_ROWS * TABLE_COLUMNS, seed)
        return figures.image_table(pictures, TABLE_COLUMNS)
    rows = labels or list(range(spec.num_classes))
    columns = min(count or TABLE_COLUMNS, TABLE_COLUMNS)
    per_label = -(-(count or columns) // columns) * columns
    each = np.repeat(rows, per_label)
    pictures = sample_unit(loaded, len(each), seed, each)
    titles = [str(label) for label in each[::columns]]
    return figures.image_table(pictures, columns, row_titles=titles)


def _one_of_each(split: Split, num_classes: int) -> np.ndarray:
    try:
        return first_of_each_class(split, num_classes)
    except DataError:  # a class without an example: draw what there is
        return np.arange(min(10, len(split)))
