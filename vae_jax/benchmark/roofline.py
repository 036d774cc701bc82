"""Compute the least cost of work on a model, and measure this machine's ceilings.

Costs are counted from the layers' shapes, not from the compiled program, so that multiplying by
zeros or moving data needlessly earns no credit. The ceilings are measured with JAX on its default
device in a second or two.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vae_jax.layers import Conv, ConvTranspose, Dense
from vae_jax.models import init_variables
from vae_jax.spec import ModelSpec

_PASSES = 10  # passes over the parameters in a training step, see cost_of
_FLOAT = 4  # bytes
_MOVED = 2**29  # bytes that one measurement of a copy reads and writes on a CPU


class Ceilings(NamedTuple):
    """The machine's measured limits.

    Attributes:
        flops: FLOP per second of a large square product.
        copies: array sizes in bytes to the bytes per second, read and written, of repeated passes
            over such an array; a small one stays in a cache.
    """

    flops: float
    copies: dict[int, float]

    def copy(self, resident: int | float) -> float:
        """Return the bytes per second of repeated passes over ``resident`` bytes."""
        fitting = [size for size in self.copies if size >= resident]
        return self.copies[min(fitting) if fitting else max(self.copies)]

    def as_dict(self) -> dict[str, Any]:
        """Return every figure, with its unit in its name."""
        return {
            "gflop_per_second": self.flops / 1e9,
            "gigabytes_per_second": {str(size): v / 1e9 for size, v in self.copies.items()},
        }

    def __str__(self) -> str:
        speeds = (f"{v / 1e9:.0f} at {size / 2**20:.0f} MiB" for size, v in self.copies.items())
        copies = ", ".join(speeds)
        return f"products {self.flops / 1e9:,.0f} GFLOP/s; passing over an array, GB/s: {copies}"


class Cost(NamedTuple):
    """The least cost of a unit of work.

    Attributes:
        images: images in the unit.
        flop: FLOP of all products.
        moved: bytes read and written.
        resident: size of the data that are passed over, which may fit into a cache.
    """

    images: int
    flop: float
    moved: float
    resident: float

    def floor(self, ceilings: Ceilings) -> float:
        """Return the seconds that this takes at the machine's ceilings.

        The times of products and of passes over the weights are added, because they hardly overlap
        in these models.
        """
        return self.flop / ceilings.flops + self.moved / ceilings.copy(self.resident)


class Layer(NamedTuple):
    """A layer with products, for one batch.

    Attributes:
        path: its path among the parameters.
        flop: FLOP of the forward pass, two per multiplication with its addition.
        parameters: numbers in its kernel and bias.
        inputs: input features or channels.
        constants: the inputs that depend on no parameter, so that they need no gradient.
    """

    path: tuple[str, ...]
    flop: int
    parameters: int
    inputs: int
    constants: int = 0

    @property
    def training_flop(self) -> float:
        """FLOP of the forward pass, the kernel's gradient and the inputs' gradient."""
        return self.flop * (2 + (self.inputs - self.constants) / self.inputs)


def cost_of(
    spec: ModelSpec, model: Any, work: str, *, batch_size: int, images: int, steps: int
) -> Cost:
    """Return the cost of a unit of work.

    A training step reads the parameters forward and backward and writes their gradient; Adam reads
    the gradient, the parameter and its two moments, and writes the last three: ten passes. Other
    work reads its part's parameters once, and reads or writes its images.

    Args:
        spec: the model's specification.
        model: its module.
        work: one of ``vae_jax.benchmark.tasks.WORKS``.
        batch_size: images per batch.
        images: images in the unit.
        steps: batches in the unit.
    """
    encoder, decoder = (layers_of(model, part, batch_size) for part in ("encode", "decode"))
    if work in ("step", "epoch"):
        variables = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
        size = _FLOAT * sum(math.prod(p.shape) for p in jax.tree.leaves(variables["params"]))
        flop = sum(layer.training_flop for layer in (*encoder, *decoder)) * images / batch_size
        return Cost(images, flop, float(_PASSES * size * steps), float(4 * size))
    # Encoding returns only the mean.
    layers = _without_second_head(spec, model, encoder) if work == "encode" else decoder
    moved = _FLOAT * sum(layer.parameters for layer in layers)
    moved += _FLOAT * images * math.prod(model.image_shape)
    return Cost(images, float(sum(layer.flop for layer in layers)), float(moved), float(moved))


def layers_of(model: Any, part: Literal["encode", "decode"], batch_size: int) -> list[Layer]:
    """Return the layers with products that a batch passes through, in the order of the calls."""
    found: list[Layer] = []

    def see(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        output, layer = call(*args, **kwargs), context.module
        if isinstance(layer, (Conv, ConvTranspose, Dense)) and context.method_name == "__call__":
            found.append(_layer(layer, args[0].shape, output.shape))
        return output

    def run(variables: Any, x: Any, *label: Any) -> Any:
        found = model.apply(variables, x, *label, method=part)
        return found.mean if part == "encode" else found

    variables = jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))
    width = (model.latent_size,) if part == "decode" else model.image_shape
    label = [_shape(batch_size, model.num_classes)] if model.num_classes else []
    with nn.intercept_methods(see):
        jax.eval_shape(run, variables, _shape(batch_size, *width), *label)
    return _with_constants(found, model, part)


def measure_ceilings(*, side: int | None = None, sizes: tuple[int, ...] | None = None) -> Ceilings:
    """Measure the machine's ceilings in JAX's current matmul precision.

    Args:
        side: number of rows of the square product.
        sizes: sizes of the arrays that are passed over, in bytes.
    """
    is_cpu = jax.default_backend() == "cpu"
    side = side or (2048 if is_cpu else 8192)
    sizes = sizes or tuple(2**n for n in ((20, 22, 24, 26, 28) if is_cpu else (24, 26, 28, 30)))
    flops, copies = 0.0, dict.fromkeys(sizes, 0.0)
    for _ in range(2):  # at two different times, in case another process was running
        square = jnp.ones((side, side), jnp.float32)
        flops = max(flops, 2 * side**3 / _quickest(functools.partial(jnp.dot, square, square)))
        del square
        for size in sizes:
            passes = max(_MOVED * (1 if is_cpu else 16) // (2 * size), 1)
            speed = 2 * size * passes / _quickest(_Passes(size, passes))
            copies[size] = max(copies[size], speed)
    return Ceilings(flops, copies)


def _shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def _layer(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> Layer:
    path, inputs, outputs = tuple(layer.path), before[-1], layer.features
    area = 1 if isinstance(layer, Dense) else layer.kernel_size**2
    # Each number of the smaller map uses the whole kernel: a convolution's output, or a transposed
    # convolution's input.
    places = math.prod((before if isinstance(layer, ConvTranspose) else after)[:-1])
    kernel = area * inputs * outputs
    return Layer(path, 2 * kernel * places, kernel + outputs, inputs)


def _with_constants(layers: list[Layer], model: Any, part: str) -> list[Layer]:
    """Mark the inputs without a gradient: images and labels."""
    done, seen = [], False
    for layer in layers:
        constants = 0
        if part == "decode":
            constants = 0 if seen else model.num_classes
            seen = True
        elif not seen and layer.inputs == model.num_classes:  # a layer of the label only
            constants = layer.inputs
        elif not seen:
            whole = math.prod(model.image_shape)
            constants = whole if layer.inputs == whole else model.image_shape[-1]
            seen = True
        done.append(layer._replace(constants=constants))
    return done


def _without_second_head(spec: ModelSpec, model: Any, layers: list[Layer]) -> list[Layer]:
    heads = spec.reference.heads[1:]
    spread = {r.target[1:-1] for r in spec.rules(model) if r.source.startswith(heads)}
    return [layer for layer in layers if layer.path not in spread]


class _Passes:
    """A function that multiplies an array in place, like an optimiser's passes over weights."""

    def __init__(self, size: int, passes: int):
        self.array, self.passes = jnp.ones(size // 4, jnp.float32), passes

    def __call__(self) -> jax.Array:
        self.array = _pass_over(self.array, self.passes)
        return self.array


@functools.partial(jax.jit, static_argnums=1, donate_argnums=0)
def _pass_over(array: jax.Array, passes: int) -> jax.Array:
    return jax.lax.fori_loop(0, passes, lambda _, x: x * jnp.float32(0.9999999), array)


def _quickest(function: Callable[[], jax.Array], seconds: float = 0.1) -> float:
    """Return the shortest time of a call, because a ceiling is the undisturbed speed."""
    jax.block_until_ready(function())
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        started = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - started)
    return min(times)
