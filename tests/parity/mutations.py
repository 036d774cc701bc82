"""The known mistakes of porters as mutations: each must be caught where it is made.

`scripts/break_on_purpose.py` makes every one in every model that it applies to, one at a time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import optax

import vae_jax.layers.batch_norm
import vae_jax.layers.conv
from vae_jax import objectives, optim
from vae_jax.layers import BatchNorm
from vae_jax.models import MODELS, get_spec
from vae_jax.parity.stages import Stage
from vae_jax.spec import Rule

Patch = contextlib.AbstractContextManager[Any]

HYPER: dict[str, dict[str, Any]] = {"conv_vae": {"batch_norm": True}}
"""Hyperparameters with which as many mutations apply to each model as can."""


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A mistake that a comparison must catch.

    Attributes:
        name: what a porter did.
        apply: from a model's name to a context in which its port is mutated.
        where: model -> (stage of the first divergence, the place that it names); a model that the
            mutation does not apply to is missing.
    """

    name: str
    apply: Callable[[str], Patch]
    where: Mapping[str, tuple[Stage, str]]


def _patched(target: Any, name: str, value: Any) -> Patch:
    return mock.patch.object(target, name, value)


def _with_rules(model: str, change: Callable[[Rule], Rule]) -> Patch:
    spec = MODELS[model]
    rules = lambda instance: tuple(change(rule) for rule in spec.rules(instance))  # noqa: E731
    return mock.patch.dict(MODELS, {model: dataclasses.replace(spec, rules=rules)})


def _not_flipped(model: str) -> Patch:
    right = vae_jax.layers.conv.conv2d_transpose
    wrong = lambda x, kernel, *sizes: right(x, kernel[::-1, ::-1], *sizes)  # noqa: E731
    return _patched(vae_jax.layers.conv, "conv2d_transpose", wrong)


def _output_padding_before(model: str) -> Patch:
    def wrong(x, kernel, stride, padding, output_padding=0, *kernels):
        extra = output_padding if isinstance(output_padding, tuple) else (output_padding,) * 2
        sizes = zip(kernel.shape[:2], extra, strict=True)
        pads = [(k - 1 - padding + e, k - 1 - padding) for k, e in sizes]
        return jax.lax.conv_transpose(
            *(x, kernel, (stride, stride), pads),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            transpose_kernel=True,
        )

    return _patched(vae_jax.layers.conv, "conv2d_transpose", wrong)


_FLATTENED = {
    "face_vae": "encoder.linear1",
    "conv_vae": "fc_mu",
    "stddev_vae": "recognition/w_mean",
    "digits_vae": "encoder.conv_mean",
    "digits_cvae": "encoder.conv_mean",
}


def _flattened_otherwise(model: str) -> Patch:
    def change(rule: Rule) -> Rule:
        if not rule.source.startswith(_FLATTENED[model]) or rule.target[-1] != "kernel":
            return rule
        other = None if rule.unflatten else (0, (32, 7, 7))
        return dataclasses.replace(rule, unflatten=other)

    return _with_rules(model, change)


def _heads_swapped(model: str) -> Patch:
    first, second = (h.replace("/", ".").split(".")[-1] for h in get_spec(model).reference.heads)
    names = {first: second, second: first}

    def change(rule: Rule) -> Rule:
        return dataclasses.replace(rule, target=tuple(names.get(p, p) for p in rule.target))

    return _with_rules(model, change)


def _biased_variance(model: str) -> Patch:
    right = vae_jax.layers.batch_norm._moments

    def wrong(*args):
        mean, var, size = right(*args)
        return mean, var, size * 1e15  # size / (size - 1) is 1

    return _patched(vae_jax.layers.batch_norm, "_moments", wrong)


def _batch_norm(kind: Any) -> Callable[[str], Patch]:
    return lambda model: mock.patch(f"vae_jax.models.{model}.BatchNorm", kind)


class _Frozen(BatchNorm):
    """A batch norm that never hears that it trains."""

    def __call__(self, x, *, train=False, mask=None):
        """As in eval mode."""
        return super().__call__(x, train=False, mask=mask)


def _adamw(recipe: Any) -> optax.GradientTransformation:
    return optax.chain(
        optim.scale_by_adam(recipe.beta1, recipe.beta2, recipe.epsilon),
        optax.add_decayed_weights(recipe.weight_decay),
        optax.scale_by_learning_rate(recipe.learning_rate),
    )


def _other_epsilon(recipe: Any) -> optax.GradientTransformation:
    other = {"torch": "tensorflow", "tensorflow": "torch"}[recipe.epsilon_scaling]
    return optim.optimizer_of(recipe.replace(epsilon_scaling=other))


def _optimizer(make: Any) -> Callable[[str], Patch]:
    return lambda model: mock.patch("vae_jax.parity.backends.flax.optimizer_of", make)


def _other_slope(model: str) -> Patch:
    right = nn.leaky_relu
    return _patched(nn, "leaky_relu", lambda x, *slope: right(x, 0.01 if slope else 0.2))


def _other_reduction(model: str) -> Patch:
    right, other = objectives._join, {"sum": "mean", "mean": "sum"}
    wrong = lambda term, mask, reduction, *rest: right(term, mask, other[reduction], *rest)  # noqa: E731
    return _patched(objectives, "_join", wrong)


def _padded_otherwise(model: str) -> Patch:
    def wrong(x, kernel, stride, padding, kernels=None):
        # TensorFlow's SAME for PyTorch's one pixel on either side, and the other side for SAME.
        pads: Any = [(2, 1)] * 2 if padding == "SAME" else "SAME" if padding == 1 else "VALID"
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    return _patched(vae_jax.layers.conv, "conv2d", wrong)


def _in_all(stage: Stage, place: str) -> dict[str, tuple[Stage, str]]:
    return dict.fromkeys(MODELS, (stage, place))


def _at(stage: Stage, **places: str) -> dict[str, tuple[Stage, str]]:
    return {model: (stage, place) for model, place in places.items()}


MUTATIONS = (
    Mutation(
        "transposed kernel not flipped",
        _not_flipped,
        _at(
            Stage.ACTIVATIONS,
            face_vae="decoder.decoder_conv.0",
            conv_vae="decoder.3",
            stddev_vae="generation/g_h1",
            digits_vae="decoder.conv2",
            digits_cvae="decoder.conv2",
        ),
    ),
    Mutation(
        "output padding on the other side",
        _output_padding_before,
        _at(Stage.ACTIVATIONS, face_vae="decoder.decoder_conv.0", conv_vae="decoder.3"),
    ),
    Mutation(
        "padding on the other side",
        _padded_otherwise,
        _at(
            Stage.ACTIVATIONS,
            face_vae="encoder.conv1",
            conv_vae="encoder.0",
            stddev_vae="recognition/d_h1",
        ),
    ),
    Mutation(
        "flattened in another order",
        _flattened_otherwise,
        _at(
            Stage.ACTIVATIONS,
            face_vae="between encoder.conv3 and encoder.linear1",
            conv_vae="between encoder.4 and fc_mu",
            stddev_vae="between recognition/d_h2 and recognition/w_mean",
            digits_vae="between encoder.conv2 and encoder.conv_mean",
            digits_cvae="between encoder.conv2 and encoder.conv_mean",
        ),
    ),
    Mutation(
        "slope of the leaky ReLU",
        _other_slope,
        _at(
            Stage.ACTIVATIONS,
            stddev_vae="between recognition/d_h1 and recognition/d_h2",
            digits_vae="between encoder.conv1 and encoder.conv2",
            digits_cvae="between encoder.conv1 and encoder.conv2",
        ),
    ),
    Mutation(
        "heads swapped",
        _heads_swapped,
        {m: s for m, s in _in_all(Stage.POSTERIOR_HEADS, "mean").items() if m != "digits_ae"},
    ),
    Mutation(
        "eval mode for train mode",
        _batch_norm(_Frozen),
        _at(Stage.TRAIN_ACTIVATIONS, face_vae="encoder.batch2", conv_vae="encoder.1"),
    ),
    Mutation("mean for sum, or sum for mean", _other_reduction, _in_all(Stage.LOSS_TERMS, "loss")),
    Mutation("AdamW for L2", _optimizer(_adamw), _at(Stage.OPTIMISER, face_vae="update 1")),
    Mutation(
        "epsilon beside the other root",
        _optimizer(_other_epsilon),
        _in_all(Stage.OPTIMISER, "update 1"),
    ),
    Mutation(
        "biased running variance",
        _biased_variance,
        _at(
            Stage.STEP_STATISTICS,
            face_vae="encoder.batch2.running_var",
            conv_vae="encoder.1.running_var",
        ),
    ),
    Mutation(
        "momentum the other way round",
        _batch_norm(functools.partial(BatchNorm, momentum=0.9)),
        _at(
            Stage.STEP_STATISTICS,
            face_vae="encoder.batch2.running_mean",
            conv_vae="encoder.1.running_mean",
        ),
    ),
)
