"""The choice of kernels for a layer: XLA's own operation, or an equal one that is faster on CPU.

XLA on CPU is slow at some convolutions and at some gradients of products; ``convolve.py`` and
``product.py`` replace them there, each with its measurements. GPUs and TPUs have libraries and
hardware for XLA's own operations. Operations written for accuracy (``sums.py``) are the same on
every backend.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import Any, Literal, TypeVar, cast

import flax.linen as nn
import jax  # many of its functions have no full hints
import jax.numpy as jnp
from jax.experimental import layout
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from vae_jax.typing import AnyArray

Kernels = Literal["cpu", "xla"]
"""``cpu`` names the kernels that are fast on CPU, ``xla`` XLA's own operations."""

_T = TypeVar("_T")


def inherited(module: nn.Module, field: str, default: object = None) -> Any:
    """Return a module's field or, if it is None, that of the nearest enclosing module.

    This way ``kernels``, ``axis_name`` and ``batch_norm_groups`` are set once on a model, not on
    each layer.
    """
    enclosing: object = module
    while isinstance(enclosing, nn.Module):
        value = getattr(enclosing, field, None)
        if value is not None:
            return value
        enclosing = enclosing.parent
    return default


def default_kernels() -> Kernels:
    """Return the kernels that are fast on the default backend."""
    return "cpu" if jax.default_backend() == "cpu" else "xla"


def materialize(x: AnyArray) -> jax.Array:
    """Return ``x``; keep XLA on CPU from fusing its computation into the operations that read it.

    Fused into a sum or a product, which XLA's library YNNPACK computes, a logarithm takes ten times
    as long (78,400 of them: 3.9 ms instead of 0.4), and a reshaped gather divides again to find the
    position of each number. XLA removes an ``optimization_barrier`` before it decides on fusion.

    This does nothing in a program for several devices of a mesh: XLA cannot partition the
    operation, and would gather all windows of a convolution on every device (for ``digits_vae``'s
    batch 24 to 6 MB per device and step, where the gradients are 0.5 MB).
    """
    return cast(jax.Array, _materialize_p.bind(jnp.asarray(x)))


def _in_row_major_order(x: jax.Array) -> jax.Array:
    return layout.with_layout_constraint(x, layout.Layout(major_to_minor=tuple(range(x.ndim))))


def _as_it_is(x: _T) -> _T:
    return x


def _transpose(cotangent: jax.Array, _: object) -> list[jax.Array]:
    return [materialize(cotangent)]


def _lower(context: mlir.LoweringRuleContext, x: Any) -> Any:
    return [x]


def _lower_on_cpu(context: mlir.LoweringRuleContext, x: Any) -> Any:
    # Only the context of a program that XLA partitions has a number of devices.
    if getattr(context.module_context.axis_context, "num_devices", 1) > 1:
        return [x]
    return cast(Any, mlir.lower_fun(_in_row_major_order, multiple_results=False)(context, x))


_materialize_p = Primitive("materialize")
_materialize_p.def_impl(_as_it_is)
_materialize_p.def_abstract_eval(_as_it_is)
mlir.register_lowering(_materialize_p, _lower)
mlir.register_lowering(_materialize_p, _lower_on_cpu, platform="cpu")
ad.deflinear2(_materialize_p, _transpose)
batching.defvectorized(_materialize_p)
