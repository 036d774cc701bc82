"""Which layer of a port is which layer of its reference, and what went through each.

A layer is a pair of submodules whose parameters the model's Rules tie together. Between the output
of one and the input of the next lies everything that has no parameters: activation functions,
reshapes, the draw of the latent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
from numpy.typing import ArrayLike

from vae_jax.spec import Rule

INPUT = " (input)"  # ends the name of what goes into a layer


class Layer(NamedTuple):
    """A layer under both names, and how its activations differ in layout.

    Attributes:
        name: the reference's, such as ``encoder.conv1``.
        flat_input: (C, H, W) where its input is an image that the reference flattens channels
            first.
        flat_output: the same of its output.
        unit_axes: axes of length 1 that end the reference's activations and not the port's.
        of_images: whether it is a convolution or a batch norm, whose channels the reference has
            first.
    """

    name: str
    flat_input: tuple[int, int, int] | None = None
    flat_output: tuple[int, int, int] | None = None
    unit_axes: int = 0
    of_images: bool = False

    def as_reference(self, kind: str, array: ArrayLike, channels_first: bool) -> np.ndarray:
        """Return the port's input or output (``kind``) in the reference's layout."""
        array = np.asarray(array)
        if self.of_images and array.ndim > 2:
            return np.moveaxis(array, -1, 1) if channels_first else array
        block = self.flat_input if kind == "input" else self.flat_output
        unflatten = None if block is None else (1, block)
        return Rule("", (), unflatten=unflatten, unit_axes=self.unit_axes).to_source(array)


def layers_of(rules: Iterable[Rule]) -> dict[tuple[str, ...], Layer]:
    """Return the layers that rules tie together, by the path of the port's submodule."""
    layers: dict[tuple[str, ...], Layer] = {}
    for rule in rules:
        path, name = rule.target[1:-1], layer_of(rule.source)
        if not path or not name:  # a parameter of the model itself
            continue
        layer = layers.get(path, Layer(name))
        if rule.unflatten is not None and rule.target[-1] == "kernel":
            axis, block = rule.unflatten
            into = axis == (rule.axes[0] if rule.axes else 0)
            layer = layer._replace(**{"flat_input" if into else "flat_output": block})
        of_images = rule.target[0] == "batch_stats" or len(rule.axes or ()) > 2
        layers[path] = layer._replace(
            unit_axes=max(layer.unit_axes, rule.unit_axes),
            of_images=layer.of_images or of_images,
        )
    return layers


def zero_gradient_tensors(rules: Iterable[Rule]) -> tuple[str, ...]:
    """Return the tensors whose gradient is zero in exact arithmetic, by the reference's names.

    They are the bias of each layer directly before a batch norm, in the order of the rules, and the
    running mean that absorbs it: the norm subtracts what the bias adds. In floating point the
    gradient is rounding noise, which Adam normalises into whole steps.
    """
    found, before, layer, biases = [], "", "", dict[str, str]()
    for rule in rules:
        if layer_of(rule.source) != layer:
            before, layer = layer, layer_of(rule.source)
        if rule.target[0] == "params" and rule.target[-1] == "bias":
            biases[layer] = rule.source
        if rule.target[0] == "batch_stats" and rule.target[-1] == "mean" and before in biases:
            found += [biases[before], rule.source]
    return tuple(found)


def layer_of(tensor: str) -> str:
    """Return the layer of a reference's tensor: its name up to the last separator."""
    return tensor[: max(tensor.rfind("."), tensor.rfind("/"), 0)]


@contextlib.contextmanager
def captured(
    paths: Iterable[tuple[str, ...]],
) -> Iterator[dict[tuple[str, ...], tuple[jax.Array, jax.Array]]]:
    """Keep (input, output) of every Flax submodule of these paths that is called in the block."""
    paths, found = set(paths), {}

    def keep(next_function, args, kwargs, context):
        output = next_function(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path in paths:
            found[context.module.path] = (args[0], output)
        return output

    with nn.intercept_methods(keep):
        yield found
