"""Data: a source named by a string becomes arrays of pixels, and arrays become batches.

NumPy alone lives here; what turns pixels into a model's range, and labels into one-hot rows,
is the training's business.
"""

from vae_jax.data.batches import (
    batch_rows,
    epoch_order,
    first_of_each_class,
    iterate_batches,
    num_batches,
)
from vae_jax.data.dataset import Dataset, Split, image_number, require_labels, take
from vae_jax.data.pictures import Pictures
from vae_jax.data.prefetch import prefetch
from vae_jax.data.resize import open_picture
from vae_jax.data.sources import open_dataset, open_training_data

__all__ = [
    "Dataset",
    "Pictures",
    "Split",
    "batch_rows",
    "epoch_order",
    "first_of_each_class",
    "image_number",
    "iterate_batches",
    "num_batches",
    "open_dataset",
    "open_picture",
    "open_training_data",
    "prefetch",
    "require_labels",
    "take",
]
