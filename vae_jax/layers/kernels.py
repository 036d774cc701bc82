"""The choice of kernels for a layer: XLA's own operation, or an equal one that is faster on CPU.

XLA on CPU is slow at some convolutions and at some gradients of products; ``convolve.py`` and
``product.py`` replace them there, each with its measurements. GPUs and TPUs have libraries and
hardware for XLA's own operations. Operations written for accuracy (``sums.py``) are the same on
every backend.
"""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from vae_jax.typing import AnyArray

Kernels = Literal["cpu", "xla"]
"""``cpu`` names the kernels that are fast on CPU, ``xla`` XLA's own operations."""


def inherited(module: nn.Module, field: str, default: Any = None) -> Any:
    """Return a module's field or, if it is None, that of the nearest enclosing module.

    This way ``kernels``, ``axis_name`` and ``batch_norm_groups`` are set once on a model, not on
    each layer.
    """
    enclosing: Any = module
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
    return _materialize_p.bind(jnp.asarray(x))


def _in_row_major_order(x: Any) -> jax.Array:
    return with_layout_constraint(x, Layout(major_to_minor=tuple(range(x.ndim))))


def _lower_on_cpu(context: Any, x: Any) -> Any:
    # Only the context of a program that XLA partitions has a number of devices.
    if getattr(context.module_context.axis_context, "num_devices", 1) > 1:
        return [x]
    return mlir.lower_fun(_in_row_major_order, multiple_results=False)(context, x)


_materialize_p = Primitive("materialize")
_materialize_p.def_impl(lambda x: x)
_materialize_p.def_abstract_eval(lambda x: x)
mlir.register_lowering(_materialize_p, lambda context, x: [x])
mlir.register_lowering(_materialize_p, _lower_on_cpu, platform="cpu")
ad.deflinear2(_materialize_p, lambda cotangent, x: [_materialize_p.bind(cotangent)])
batching.defvectorized(_materialize_p)
