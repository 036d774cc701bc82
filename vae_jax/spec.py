"""Plain data about a model: its reference, its rules and its recipe.

Nothing here imports JAX, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from vae_jax.recipe import Recipe

Model = Any
"""A Flax module; naming its class here would load JAX."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """The mapping between one tensor of the reference and one leaf of the variables.

    Attributes:
        source: the reference's tensor name, such as ``encoder.conv1.weight``.
        target: path of the leaf, such as ``("params", "encoder", "conv1", "kernel")``.
        axes: the permutation from the reference's axes to ours; None keeps them.
        unflatten: for a dense layer beside a flattened image, ``(axis, (C, H, W))``: the reference
            flattens that axis channels first, ours channels last.
        unit_axes: how many trailing axes of length 1 only the reference's tensor has (a 1x1
            convolution that is a dense layer here).
        default: value to use where older files lack the tensor; None if it is required.
        note: a remark for imports to report.
    """

    source: str
    target: tuple[str, ...]
    axes: tuple[int, ...] | None = None
    unflatten: tuple[int, tuple[int, int, int]] | None = None
    unit_axes: int = 0
    default: int | None = None
    note: str = ""

    def to_target(self, array: np.ndarray) -> np.ndarray:
        """Convert the reference's tensor to our layout, as a view where NumPy can."""
        if self.unit_axes:
            array = array.reshape(array.shape[: -self.unit_axes])
        if self.unflatten is not None:
            axis, (channels, height, width) = self.unflatten
            array = _reorder(array, axis, (channels, height, width), (1, 2, 0))
        return array if self.axes is None else array.transpose(self.axes)

    def to_source(self, array: np.ndarray) -> np.ndarray:
        """Convert our leaf to the reference's layout: the exact inverse of ``to_target``."""
        if self.axes is not None:
            array = array.transpose(np.argsort(self.axes))
        if self.unflatten is not None:
            axis, (channels, height, width) = self.unflatten
            array = _reorder(array, axis, (height, width, channels), (2, 0, 1))
        return array.reshape(array.shape + (1,) * self.unit_axes)


def _reorder(
    array: np.ndarray, axis: int, parts: tuple[int, ...], order: tuple[int, ...]
) -> np.ndarray:
    """Transpose ``axis``, read as a block of shape ``parts``, and flatten it again."""
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    block = array.reshape(*before, *parts, *after)
    axes = [*range(axis), *(axis + i for i in order), *range(axis + len(parts), block.ndim)]
    return block.transpose(axes).reshape(array.shape)


@dataclasses.dataclass(frozen=True)
class Ignored:
    """Tensors of a reference's checkpoint that the model does not need.

    Attributes:
        pattern: a regular expression that matches the whole name.
        reason: why they can be ignored.
    """

    pattern: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Reference:
    """The original of a model.

    Attributes:
        framework: the framework of the original.
        tutorial: the tutorial and its section.
        checkpoint: the file that the tutorial saves.
        heads: the layers whose outputs are the posterior's parameters, or the latent.
        sizes: hyperparameters to the tensors whose lengths they are.
        infer: returns the hyperparameters that a checkpoint's tensors determine, where lengths are
            not enough.
        undetermined: returns, from the known hyperparameters of a checkpoint, those that cannot be
            inferred and that the user must give.
        parts: the parts that are saved in one file each; empty where one file holds everything.
        ignored: other tensors that its checkpoints hold; the last entry that matches applies.
    """

    framework: str
    tutorial: str
    checkpoint: str
    heads: tuple[str, ...] = ()
    sizes: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    infer: Callable[[Mapping[str, np.ndarray]], Mapping[str, object]] | None = None
    undetermined: Callable[[Mapping[str, object]], tuple[str, ...]] = lambda known: ()
    parts: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """An entry of ``vae_jax.MODELS``.

    Attributes:
        name: its key there.
        summary: one line for people.
        module: the Flax module class, an ``Autoencoder``; its fields are the hyperparameters.
        reference: the original.
        recipe: how the reference trains it.
        rules: returns one Rule per tensor of the model's reference.
        variational: whether ``encode`` returns a Gaussian posterior; else a ``Deterministic`` one.
        pixel_range: the values of a black and of a white pixel.
        epoch_figure: what the tutorial draws after each epoch.
        check: raises UserError for hyperparameters that contradict each other.
    """

    name: str
    summary: str
    module: type[Model]
    reference: Reference
    recipe: Recipe
    rules: Callable[[Model], tuple[Rule, ...]]
    variational: bool
    pixel_range: tuple[float, float] = (0.0, 1.0)
    epoch_figure: Literal["reconstructions", "samples", "sample table"] = "samples"
    check: Callable[[Model], None] = lambda model: None

    @property
    def num_classes(self) -> int:
        """The number of classes that a label can name; 0 for a model without labels."""
        return self.module.num_classes

    def hyperparameters(self) -> dict[str, Any]:
        """Return the model's hyperparameters with their defaults."""
        # The fields of the base say how the layers are computed, and Flax adds two of its own.
        own = inspect.get_annotations(self.module).keys() - {"parent", "name"}
        fields = dataclasses.fields(self.module)
        return {field.name: field.default for field in fields if field.name in own}
