"""What a unit of work costs at the least: multiplications, additions, and bytes moved.

The layers' geometry is counted, not the compiled program: an algorithm that multiplies by zeros, or
moves what it need not, gets no credit for it.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.benchmark.ceilings import Ceilings
from vae_jax.benchmark.tasks import Task
from vae_jax.distributions import central_latent
from vae_jax.layers import Conv, ConvTranspose, Dense
from vae_jax.models import init_variables

_PASSES = 10  # over the parameters in a training step, see cost_of
_FLOAT = 4  # bytes


class Layer(NamedTuple):
    """A layer with products, as one batch goes through it.

    Attributes:
        path: its place among the parameters.
        flop: of the forward pass, two a multiplication with its addition.
        parameters: numbers in its kernel and bias.
        inputs: features, or channels, that go in.
        constants: those of them that depend on no parameter, so that they need no gradient.
    """

    path: tuple[str, ...]
    flop: int
    parameters: int
    inputs: int
    constants: int = 0

    @property
    def training_flop(self) -> float:
        """Forward, the kernel's gradient, and the gradient of the inputs that need one."""
        return self.flop * (2 + (self.inputs - self.constants) / self.inputs)


class Cost(NamedTuple):
    """What a unit of work costs at the least.

    Attributes:
        images: in it.
        flop: of all products.
        moved: bytes read and written.
        resident: bytes that it goes over; a cache that holds them makes moving cheaper.
    """

    images: int
    flop: float
    moved: float
    resident: float

    def floor(self, ceilings: Ceilings) -> float:
        """Seconds that this takes at the machine's ceilings, one after the other: products and
        passes over the weights hardly overlap in these models."""
        return self.flop / ceilings.flops + self.moved / ceilings.copy(self.resident)


def layers_of(model: Any, part: Literal["encode", "decode"], batch_size: int) -> list[Layer]:
    """The layers that a batch goes through, in the order of the calls."""
    found: list[Layer] = []

    def see(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output, layer = call(*args, **kwargs), context.module
        if isinstance(layer, (Conv, ConvTranspose, Dense)) and context.method_name == "__call__":
            found.append(_layer(layer, args[0].shape, output.shape))
        return output

    def run(variables: Any, x: Any, *label: Any) -> Any:
        found = model.apply(variables, x, *label, method=part)
        return central_latent(found) if part == "encode" else found

    variables = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    width = (model.latent_size,) if part == "decode" else model.image_shape
    label = [_shape(batch_size, model.num_classes)] if model.num_classes else []
    with nn.intercept_methods(see):
        jax.eval_shape(run, variables, _shape(batch_size, *width), *label)
    return _with_constants(found, model, part)


def cost_of(task: Task) -> Cost:
    """The cost of a unit of a task's work.

    A training step reads the parameters forward and backward and writes their gradient; Adam reads
    the gradient, the parameter and its two moments, and writes the last three: ten passes. Other
    work reads its part's parameters once, and its images come in or go out.
    """
    model, per_batch, images = task.module, task.batch_size, task.images
    encoder, decoder = (layers_of(model, part, per_batch) for part in ("encode", "decode"))
    if task.trains:
        variables = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
        size = _FLOAT * sum(math.prod(p.shape) for p in jax.tree.leaves(variables["params"]))
        flop = sum(layer.training_flop for layer in (*encoder, *decoder)) * images / per_batch
        return Cost(images, flop, float(_PASSES * size * task.num_steps), float(4 * size))
    # The mean alone is asked for.
    layers = _without_second_head(task, encoder) if task.work == "encode" else decoder
    moved = _FLOAT * sum(layer.parameters for layer in layers)
    moved += _FLOAT * images * math.prod(model.image_shape)
    return Cost(images, float(sum(layer.flop for layer in layers)), float(moved), float(moved))


def _shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def _layer(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> Layer:
    path, inputs, outputs = tuple(layer.path), before[-1], layer.features
    area = 1 if isinstance(layer, Dense) else layer.kernel_size**2
    # Each number of the smaller map meets the whole kernel: a convolution's output, or what goes
    # into a transposed one.
    places = math.prod((before if isinstance(layer, ConvTranspose) else after)[:-1])
    kernel = area * inputs * outputs
    return Layer(path, 2 * kernel * places, kernel + outputs, inputs)


def _with_constants(layers: list[Layer], model: Any, part: str) -> list[Layer]:
    """Images and labels need no gradient; nor does a latent's label, but the latent does."""
    done, seen = [], False
    for layer in layers:
        constants = 0
        if part == "decode":
            constants = 0 if seen else model.num_classes
            seen = True
        elif not seen and layer.inputs == model.num_classes:  # a layer of the label alone
            constants = layer.inputs
        elif not seen:
            whole = math.prod(model.image_shape)
            constants = whole if layer.inputs == whole else model.image_shape[-1]
            seen = True
        done.append(layer._replace(constants=constants))
    return done


def _without_second_head(task: Task, layers: list[Layer]) -> list[Layer]:
    heads = task.spec.reference.heads[1:]
    rules = task.spec.rules(task.module)
    spread = {rule.target[1:-1] for rule in rules if rule.source.startswith(heads)} if heads else ()
    return [layer for layer in layers if layer.path not in spread]
