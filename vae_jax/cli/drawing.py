"""Images out of a trained model for the commands that draw, and the tutorials' epoch figure.

Images come as they are stored (uint8) and leave as floats in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from vae_jax import figures
from vae_jax.cli.trained import Trained
from vae_jax.data import Dataset, Split, first_of_each_class
from vae_jax.data.pixels import scale_pixels
from vae_jax.distributions import central_latent, example_noise
from vae_jax.errors import DataError, UserError
from vae_jax.training.run import Run, writing
from vae_jax.typing import Variables

NUM_SAMPLES = 18  # tutorial 002, plot_epoch
TABLE_ROWS, TABLE_COLUMNS = 10, 20  # tutorial 004, show_image
SAMPLE_SEED = 0  # the same points after every epoch, so that the figures can be compared
_CHUNK = 64


def epoch_figure(run: Run, dataset: Dataset) -> Callable[[int, Variables], Any]:
    """A function of the epoch and the variables that writes ``figures/epoch_NNN.png``."""
    held_out = dataset.test or dataset.train

    def draw(epoch: int, variables: Variables) -> None:
        trained = Trained(run.model, run.hyper, variables, run.recipe)
        if trained.spec.epoch_figure == "reconstructions":
            chosen = _one_of_each(held_out, len(dataset.class_names))
            pairs = reconstruct(trained, held_out.images[chosen], held_out.labels[chosen])
            figure = figures.reconstruction_rows(*pairs)
        else:
            figure = sample_figure(trained, None, SAMPLE_SEED, None)
        path = run.figures / f"epoch_{epoch:03d}.png"
        with writing(path):
            figures.save_figure(figure, path)

    return draw


def encode(trained: Trained, images: Any, labels: Any = None) -> Any:
    """What ``encode`` returns for images in the model's pixel range, as NumPy arrays."""
    return _in_chunks(trained, "encode", images, labels)


def decode(trained: Trained, z: Any, labels: Any = None) -> np.ndarray:
    """Images in [0, 1] of latents [N, L]."""
    return to_unit(trained, _in_chunks(trained, "decode", z, labels))


def reconstruct(
    trained: Trained, stored: np.ndarray, labels: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Stored images [N, H, W, C] and their reconstructions (from the posterior's mean)."""
    encoded = encode(trained, scale_pixels(stored, trained.spec.pixel_range), labels)
    return stored.astype(np.float32) / 255, decode(trained, central_latent(encoded), labels)


def sample(trained: Trained, count: int, seed: int, labels: Any = None) -> np.ndarray:
    """Images decoded from the prior with a seed's noise.

    Raises:
        UserError: the model is a plain autoencoder.
    """
    if not trained.spec.variational:
        raise UserError(
            f"{trained.name} is a plain autoencoder: it has no prior to sample from; use "
            "vae-jax reconstruct"
        )
    z = example_noise(jax.random.key(seed), count, trained.model.latent_size)
    return decode(trained, z, labels)


def sample_figure(trained: Trained, count: int | None, seed: int, labels: list[int] | None) -> Any:
    """Samples as the model's tutorial draws them: 18 in rows of six, or a table of ten rows of
    twenty; with labels, each label's samples begin a row.

    Raises:
        UserError: as ``sample``, or labels for a model that takes none.
    """
    spec = trained.spec
    if not spec.num_classes:
        if labels:
            raise UserError(f"{trained.name} takes no label; leave out --label")
        if spec.epoch_figure != "sample table":
            return figures.sample_grid(sample(trained, count or NUM_SAMPLES, seed))
        pictures = sample(trained, count or TABLE_ROWS * TABLE_COLUMNS, seed)
        return figures.image_table(pictures, TABLE_COLUMNS)
    rows = labels or list(range(spec.num_classes))
    columns = min(count or TABLE_COLUMNS, TABLE_COLUMNS)
    per_label = -(-(count or columns) // columns) * columns
    each = np.repeat(rows, per_label)
    pictures = sample(trained, len(each), seed, each)
    titles = [str(label) for label in each[::columns]]
    return figures.image_table(pictures, columns, row_titles=titles)


def to_unit(trained: Trained, image: Any) -> np.ndarray:
    """From the model's pixel range to [0, 1]."""
    low, high = trained.spec.pixel_range
    return (np.asarray(image) - low) / (high - low)


def require_finite(trained: Trained, pictures: np.ndarray) -> None:
    """Raises UserError if a model's pictures are not finite."""
    if not np.isfinite(pictures).all():
        raise UserError(f"{trained.name}'s pictures are not finite; its weights hold NaN?")


def one_hot(trained: Trained, labels: Any) -> tuple[np.ndarray, ...]:
    """The model's label argument: none, or one-hot [N, K] of class numbers.

    Raises:
        UserError: the model takes labels and there is none, or one is not a class of it.
    """
    count = trained.spec.num_classes
    if not count:
        return ()
    if labels is None:
        raise UserError(f"{trained.name} takes a label with each image; give --label 0 to 9")
    numbers = np.asarray(labels)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
        wrong = numbers[(numbers < 0) | (numbers >= count)][0]
        raise UserError(f"a label is {wrong}; {trained.name} takes 0 to {count - 1}")
    return (np.eye(count, dtype=np.float32)[numbers],)


@partial(jax.jit, static_argnums=(0, 1))  # here, so that an epoch's figure compiles nothing anew
def _apply(model: Any, method: str, variables: Variables, *arguments: Any) -> Any:
    return model.apply(variables, *arguments, method=method)


def _in_chunks(trained: Trained, method: str, values: Any, labels: Any) -> Any:
    model, arguments = trained.model, (np.asarray(values), *one_hot(trained, labels))
    parts = [
        jax.device_get(
            _apply(model, method, trained.variables, *(a[i : i + _CHUNK] for a in arguments))
        )
        for i in range(0, len(arguments[0]), _CHUNK)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _one_of_each(split: Split, num_classes: int) -> np.ndarray:
    try:
        return first_of_each_class(split, num_classes)
    except DataError:  # a class without an example: draw what there is
        return np.arange(min(10, len(split)))
