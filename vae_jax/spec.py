"""What the package knows about a model, as plain data: its recipe, its reference, its rules.

Nothing here imports JAX, so that the command line can list a recipe's fields at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from vae_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the reference trains a model: every number that its training loop fixes.

    ``help`` in a field's metadata is the text of its command-line option.
    """

    data: str = dataclasses.field(
        metadata={"help": "Training images: digits, idx:DIR, folder:DIR or tfds:NAME."}
    )
    epochs: int = dataclasses.field(metadata={"help": "Passes over the training images."})
    batch_size: int = dataclasses.field(metadata={"help": "Images a training step."})
    learning_rate: float = dataclasses.field(metadata={"help": "Adam's step size."})
    beta1: float = dataclasses.field(
        default=0.9, metadata={"help": "Adam's decay of the first moment."}
    )
    beta2: float = dataclasses.field(
        default=0.999, metadata={"help": "Adam's decay of the second moment."}
    )
    epsilon: float = dataclasses.field(
        default=1e-8, metadata={"help": "Adam's term against division by zero."}
    )
    weight_decay: float = dataclasses.field(
        default=0.0,
        metadata={"help": "L2 added to the gradient before the moments (coupled, not AdamW)."},
    )
    beta: float = dataclasses.field(
        default=1.0, metadata={"help": "Weight of the KL divergence in the loss."}
    )
    reduction: Literal["sum", "mean"] = dataclasses.field(
        default="sum", metadata={"help": "How the loss joins the examples of a batch."}
    )
    epoch_loss: Literal["sum", "mean"] = dataclasses.field(
        default="sum", metadata={"help": "How the printed figure joins the batches of an epoch."}
    )
    drop_remainder: bool = dataclasses.field(
        default=False, metadata={"help": "Leave out the last batch when it is not full."}
    )
    seed: int = dataclasses.field(
        default=0, metadata={"help": "Seed of the weights, the batch order and the noise."}
    )

    def __post_init__(self):
        """Checks every value; raises UserError naming the field."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in ("int", "float") and not isinstance(value, int | float):
                raise UserError(f"{field.name} is {value!r}; expected a number")
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{field.name} is {value}; expected a finite number")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _require(self.epochs >= 0, "epochs", self.epochs, "at least 0")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(self.epsilon > 0, "epsilon", self.epsilon, "above 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "at least 0")
        _require(self.beta >= 0, "beta", self.beta, "at least 0")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 2**32 - 1")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        for name in ("reduction", "epoch_loss"):
            _require(getattr(self, name) in ("sum", "mean"), name, getattr(self, name), "sum, mean")

    def replace(self, **changes: Any) -> Recipe:
        """The recipe with some fields changed; raises UserError on a field it does not have."""
        known = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise UserError(
                    f"a recipe has no field {name!r}; its fields are {', '.join(known)}"
                )
        return dataclasses.replace(self, **changes)


def _require(holds: bool, name: str, value: Any, expected: str) -> None:
    if not holds:
        raise UserError(f"{name} is {value!r}; expected {expected}")


@dataclasses.dataclass(frozen=True)
class Rule:
    """How one tensor of the reference becomes one leaf of the variables, and back.

    Attributes:
        source: the reference's tensor name, such as ``encoder.conv1.weight``.
        target: path of the leaf, such as ``("params", "encoder", "conv1", "kernel")``.
        axes: the permutation from the reference's axes to ours; None keeps them.
        unflatten: for a dense layer beside a flattened image, ``(axis, (C, H, W))``: that axis of
            the reference's tensor counts the image channels first, ours channels last.
        default: value of a tensor that older files lack; None where it must be there.
    """

    source: str
    target: tuple[str, ...]
    axes: tuple[int, ...] | None = None
    unflatten: tuple[int, tuple[int, int, int]] | None = None
    default: int | None = None

    def to_target(self, array: np.ndarray) -> np.ndarray:
        """Our layout of the reference's tensor, as a view where NumPy can."""
        if self.unflatten is not None:
            axis, (channels, height, width) = self.unflatten
            array = _reorder(array, axis, (channels, height, width), (1, 2, 0))
        return array if self.axes is None else array.transpose(self.axes)

    def to_source(self, array: np.ndarray) -> np.ndarray:
        """The exact inverse of ``to_target``."""
        if self.axes is not None:
            array = array.transpose(np.argsort(self.axes))
        if self.unflatten is not None:
            axis, (channels, height, width) = self.unflatten
            array = _reorder(array, axis, (height, width, channels), (2, 0, 1))
        return array


def _reorder(array, axis: int, parts: tuple[int, ...], order: tuple[int, ...]):
    """Reads ``axis`` as a block of shape ``parts`` and writes it in another axis order."""
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    block = array.reshape(*before, *parts, *after)
    axes = [*range(axis), *(axis + i for i in order), *range(axis + len(parts), block.ndim)]
    return block.transpose(axes).reshape(array.shape)


@dataclasses.dataclass(frozen=True)
class Reference:
    """Where a model comes from.

    Attributes:
        framework: the framework of the original.
        tutorial: the tutorial and its section.
        checkpoint: the file that the tutorial saves.
        noise_fed: tensors whose gradient is zero in exact arithmetic (a bias in front of a batch
            norm), so that Adam normalises rounding noise; and the running means that absorb them.
        sizes: hyperparameter to the tensor whose length it is, to read it off a checkpoint.
        trained_budget: the largest relative error of weights, moments and statistics after a
            float64 run of training steps; how far Adam magnifies rounding depends on the model.
    """

    framework: str
    tutorial: str
    checkpoint: str
    noise_fed: tuple[str, ...] = ()
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trained_budget: float = 1e-11


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """One line of the table of models.

    Attributes:
        name: as in ``vae_jax.MODELS``.
        summary: one line for people.
        module: the Flax module class; its fields are the hyperparameters. It has ``image_shape``
            (H, W, C), ``latent_size`` and the methods ``encode`` and ``decode``.
        reference: where it comes from.
        recipe: how the reference trains it.
        rules: from a model to one Rule a tensor of its reference.
        variational: whether ``encode`` returns a posterior (else the latent itself).
        pixel_range: the value of a black and of a white pixel.
        epoch_figure: what the tutorial draws after each epoch.
    """

    name: str
    summary: str
    module: type
    reference: Reference
    recipe: Recipe
    rules: Callable[[Any], tuple[Rule, ...]]
    variational: bool
    pixel_range: tuple[float, float] = (0.0, 1.0)
    epoch_figure: Literal["reconstructions", "samples"] = "samples"

    def hyperparameters(self) -> dict[str, Any]:
        """The model's hyperparameters with their defaults."""
        return {
            field.name: field.default
            for field in dataclasses.fields(self.module)
            if field.name not in ("parent", "name")
        }
