"""Every convolution of every model at its tutorial's batch: the plain form, ours, and PyTorch's.

    python scripts/benchmarks/layers.py [MODEL ...]    # two minutes on 2 cores

Prints ms forward, and forward and backward together (towards input, kernel and bias, float32),
medians of interleaved turns in one process that keeps its freed memory (``vae_jax.memory``).
"""

import argparse
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from contest.neighbours import settle

from vae_jax.benchmark.timing import interleave
from vae_jax.layers import Conv, ConvTranspose
from vae_jax.memory import keep_freed_memory
from vae_jax.models import MODELS, create_model


def layers_of(name: str) -> list[tuple[str, Any, tuple[int, ...]]]:
    """(name, module, input shape) of the convolutions of a model, each geometry once."""
    found: dict[Any, tuple[str, Any, tuple[int, ...]]] = {}

    def note(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if isinstance(module, Conv | ConvTranspose) and context.method_name == "__call__":
            copy = module.clone(parent=None, name=None)
            place = ".".join(module.path)
            found.setdefault((copy, args[0].shape), (place, copy, args[0].shape))
        return call(*args, **kwargs)

    model, spec = create_model(name), MODELS[name]
    image = jnp.zeros((spec.recipe.batch_size, *model.image_shape))
    label = [jnp.zeros((len(image), spec.num_classes))] if spec.num_classes else []
    noise = jnp.zeros((len(image), model.latent_size)) if spec.variational else None
    with nn.intercept_methods(note):
        jax.eval_shape(lambda: model.init(jax.random.key(0), image, *label, noise=noise))
    return list(found.values())


def jax_contestants(module: Any, shape: tuple[int, ...]) -> dict[str, Callable[[int], None]]:
    """Forward, and both ways, of a layer."""
    x = jax.random.normal(jax.random.key(0), shape)
    params = module.init(jax.random.key(1), x)
    y = module.apply(params, x)

    def forward(params, x, y):
        return module.apply(params, x)

    def both(params, x, y):
        out, pullback = jax.vjp(module.apply, params, x)
        return out, pullback(y)

    def run(function):
        compiled = jax.jit(function)
        jax.block_until_ready(compiled(params, x, y))

        def repeat(count):
            for _ in range(count):
                jax.block_until_ready(compiled(params, x, y))

        return repeat

    return {"forward": run(forward), "both": run(both)}


def torch_contestants(module: Any, shape: tuple[int, ...]) -> dict[str, Callable[[int], None]]:
    """The same in PyTorch; a TensorFlow layer's "SAME" by the nearest padding of equal size."""
    k, stride = module.kernel_size, module.stride
    transposed, same = isinstance(module, ConvTranspose), module.padding == "SAME"
    padding = (k - 1) // 2 if same else module.padding
    extra = ()
    if transposed:
        extra = (1 if same else module.output_padding,)
    ends = (shape[3], module.features) if transposed else (module.features, shape[3])
    x = torch.randn(shape[0], shape[3], *shape[1:3]).to(memory_format=torch.channels_last)
    weight = torch.randn(*ends, k, k).to(memory_format=torch.channels_last)
    bias = torch.randn(module.features)
    for given in (x, weight, bias):
        given.requires_grad_()
    function = F.conv_transpose2d if transposed else F.conv2d
    y = torch.randn_like(function(x, weight, bias, stride, padding, *extra))

    def forward(count):
        with torch.inference_mode():
            for _ in range(count):
                function(x, weight, bias, stride, padding, *extra)

    def both(count):
        for _ in range(count):
            x.grad = weight.grad = bias.grad = None
            function(x, weight, bias, stride, padding, *extra).backward(y)

    return {"forward": forward, "both": both}


def main() -> None:
    """Prints a line a layer."""
    parser = argparse.ArgumentParser(description="Times every convolution, plain and ours.")
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    keep_freed_memory()
    print(f"{'layer':<38}{'input':<20}{'forward, plain':>15}{'ours':>7}{'PyTorch':>9}"
          f"{'both, plain':>13}{'ours':>7}{'PyTorch':>9}")  # fmt: skip
    for name in args.models:
        for place, module, shape in layers_of(name):
            plain = jax_contestants(module.clone(kernels="xla"), shape)
            sides = {"plain": plain, "ours": jax_contestants(module, shape)}
            sides["PyTorch"] = torch_contestants(module, shape)
            line = f"{name + ' ' + place:<38}{'x'.join(map(str, shape)):<20}"
            for work, widths in (("forward", (15, 7, 9)), ("both", (13, 7, 9))):
                runs = {side: of[work] for side, of in sides.items()}
                times = interleave(runs, args.rounds, turn=0.05, rest=settle)
                for side, width in zip(sides, widths, strict=True):
                    line += f"{np.median(times[side].seconds) * 1e3:>{width}.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
