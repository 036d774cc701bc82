"""Rules for PyTorch's and Paddle's layers: the names and axis orders of ``torch.nn`` modules.

A target path repeats the reference's, with the dots inside a ``Sequential`` replaced by
underscores: ``decoder.decoder_conv.3`` becomes ``("decoder", "decoder_conv_3")``.
"""

from __future__ import annotations

import dataclasses

from vae_jax.spec import Rule


def linear(
    source: str,
    target: tuple[str, ...],
    *,
    flat_input: tuple[int, int, int] | None = None,
    flat_output: tuple[int, int, int] | None = None,
) -> tuple[Rule, ...]:
    """Return the rules of a ``torch.nn.Linear``: weight [O, I] to kernel [I, O], and the bias.

    Args:
        source: the layer's name in the reference.
        target: path of the layer's parameters.
        flat_input: (C, H, W) of the image that is flattened into the layer's input.
        flat_output: (C, H, W) of the image that the layer's output is unflattened to.
    """
    weight_block = bias_block = None
    if flat_input is not None:
        weight_block = (1, flat_input)
    if flat_output is not None:
        weight_block, bias_block = (0, flat_output), (0, flat_output)
    return (
        Rule(f"{source}.weight", ("params", *target, "kernel"), (1, 0), weight_block),
        Rule(f"{source}.bias", ("params", *target, "bias"), None, bias_block),
    )


def conv_as_dense(
    source: str,
    target: tuple[str, ...],
    *,
    flat_input: tuple[int, int, int] | None = None,
    flat_output: tuple[int, int, int] | None = None,
) -> tuple[Rule, ...]:
    """Return the rules of a 1x1 convolution of 1x1 images, [O, I, 1, 1], as a dense layer."""
    weight, bias = linear(source, target, flat_input=flat_input, flat_output=flat_output)
    return dataclasses.replace(weight, unit_axes=2), bias


def conv(source: str, target: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules of a ``torch.nn.Conv2d`` or ``ConvTranspose2d``.

    One permutation serves both: [O, I, k, k] to [k, k, I, O], and [I, O, k, k] to [k, k, O, I].
    """
    return (
        Rule(f"{source}.weight", ("params", *target, "kernel"), (2, 3, 1, 0)),
        Rule(f"{source}.bias", ("params", *target, "bias")),
    )


def batch_norm(source: str, target: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules of a ``torch.nn.BatchNorm2d``.

    Files from before PyTorch 0.4.1 lack the batch counter.
    """
    return (
        Rule(f"{source}.weight", ("params", *target, "scale")),
        Rule(f"{source}.bias", ("params", *target, "bias")),
        Rule(f"{source}.running_mean", ("batch_stats", *target, "mean")),
        Rule(f"{source}.running_var", ("batch_stats", *target, "var")),
        Rule(
            f"{source}.num_batches_tracked",
            ("batch_stats", *target, "num_batches_tracked"),
            default=0,
        ),
    )
