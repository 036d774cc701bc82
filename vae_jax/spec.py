"""What the package knows about a model, as plain data: its reference, its rules, its recipe.

Nothing here imports JAX, so that the command line can list a recipe's fields at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from vae_jax.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Rule:
    """How one tensor of the reference becomes one leaf of the variables, and back.

    Attributes:
        source: the reference's tensor name, such as ``encoder.conv1.weight``.
        target: path of the leaf, such as ``("params", "encoder", "conv1", "kernel")``.
        axes: the permutation from the reference's axes to ours; None keeps them.
        unflatten: for a dense layer beside a flattened image, ``(axis, (C, H, W))``: that axis of
            the reference's tensor counts the image channels first, ours channels last.
        unit_axes: how many axes of length 1 end the reference's tensor and not ours (a 1x1
            convolution that is a dense layer).
        default: value of a tensor that older files lack; None where it must be there.
        note: what an import says of the tensor.
    """

    source: str
    target: tuple[str, ...]
    axes: tuple[int, ...] | None = None
    unflatten: tuple[int, tuple[int, int, int]] | None = None
    unit_axes: int = 0
    default: int | None = None
    note: str = ""

    def to_target(self, array: np.ndarray) -> np.ndarray:
        """Our layout of the reference's tensor, as a view where NumPy can."""
        if self.unit_axes:
            array = array.reshape(array.shape[: -self.unit_axes])
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
        return array.reshape(array.shape + (1,) * self.unit_axes)


def _reorder(array, axis: int, parts: tuple[int, ...], order: tuple[int, ...]):
    """Reads ``axis`` as a block of shape ``parts`` and writes it in another axis order."""
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    block = array.reshape(*before, *parts, *after)
    axes = [*range(axis), *(axis + i for i in order), *range(axis + len(parts), block.ndim)]
    return block.transpose(axes).reshape(array.shape)


@dataclasses.dataclass(frozen=True)
class Ignored:
    """Tensors of a reference's checkpoint that hold nothing of the model.

    Attributes:
        pattern: a regular expression of the whole name.
        reason: what they are.
    """

    pattern: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Reference:
    """Where a model comes from.

    Attributes:
        framework: the framework of the original.
        tutorial: the tutorial and its section.
        checkpoint: the file that the tutorial saves.
        heads: the layers whose outputs make the posterior, or the latent.
        sizes: hyperparameter to the tensor whose length it is, to read it off a checkpoint.
        infer: from a checkpoint's tensors to the hyperparameters that they determine, where
            lengths alone do not tell.
        undetermined: from the hyperparameters that are known of a checkpoint to those that its
            user must name, because no tensor tells them.
        parts: the parts that are saved in a file each; empty where one file holds all.
        ignored: tensors that its checkpoints hold beside the model's.
    """

    framework: str
    tutorial: str
    checkpoint: str
    heads: tuple[str, ...] = ()
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    infer: Callable[[Mapping[str, np.ndarray]], dict[str, Any]] | None = None
    undetermined: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda known: ()
    parts: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """One line of the table of models.

    Attributes:
        name: as in ``vae_jax.MODELS``.
        summary: one line for people.
        module: the Flax module class, an ``Autoencoder``; its fields are the hyperparameters.
        reference: where it comes from.
        recipe: how the reference trains it.
        rules: from a model to one Rule a tensor of its reference.
        variational: whether ``encode`` returns a posterior (else the latent itself).
        pixel_range: the value of a black and of a white pixel.
        epoch_figure: what the tutorial draws after each epoch.
        check: raises UserError for hyperparameters that do not go together.
    """

    name: str
    summary: str
    module: type
    reference: Reference
    recipe: Recipe
    rules: Callable[[Any], tuple[Rule, ...]]
    variational: bool
    pixel_range: tuple[float, float] = (0.0, 1.0)
    epoch_figure: Literal["reconstructions", "samples", "sample table"] = "samples"
    check: Callable[[Any], None] = lambda model: None

    @property
    def num_classes(self) -> int:
        """How many classes the model's label tells apart; 0 for a model without labels."""
        return self.module.num_classes

    def hyperparameters(self) -> dict[str, Any]:
        """The model's hyperparameters with their defaults."""
        return {
            field.name: field.default
            for field in dataclasses.fields(self.module)
            if field.name not in ("parent", "name")
        }
