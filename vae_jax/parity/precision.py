"""The precisions that a comparison runs in, set in both frameworks.

``tf32`` and ``bfloat16`` are what accelerators do to products: the factors of every matrix product
and convolution, in the gradients too, are rounded to 10 or 7 bits of fraction and summed in
float32; weights, reductions and the optimiser stay in float32. Where the device cannot, the same is
computed by rounding the factors first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from vae_jax.errors import UserError


class Precision(NamedTuple):
    """A precision.

    Attributes:
        name: as on the command line.
        dtype: of weights, activations and sums.
        bits: of the fraction of a product's factors; None where they keep the dtype's own.
    """

    name: str
    dtype: np.dtype
    bits: int | None = None

    @property
    def is_exact(self) -> bool:
        """Whether the reference's numbers in this precision are the truth."""
        return self.name == "float64"


PRECISIONS = {
    "float64": Precision("float64", np.dtype(np.float64)),
    "float32": Precision("float32", np.dtype(np.float32)),
    "tf32": Precision("tf32", np.dtype(np.float32), 10),
    "bfloat16": Precision("bfloat16", np.dtype(np.float32), 7),
}

# (backend, precision) -> JAX's name for it, where the device computes products so by itself
_NATIVE = {
    ("gpu", "tf32"): "tensorfloat32",
    ("gpu", "bfloat16"): "bfloat16",
    ("tpu", "bfloat16"): "bfloat16",
}

_CALLS = (
    "jit",
    "pjit",
    "closed_call",
    "custom_jvp_call",
    "custom_vjp_call",
    "checkpoint",
    "remat2",
)
_PRODUCTS = ("product", "dot_general", "conv_general_dilated")


def precision_of(which: Any) -> Precision:
    """The precision of a name, or of a NumPy dtype.

    Raises:
        UserError: there is none of that name.
    """
    if isinstance(which, Precision):
        return which
    name = which if isinstance(which, str) else np.dtype(which).name
    if name not in PRECISIONS:
        raise UserError(f"precision {name!r}; expected one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def products_in_jax(precision: Precision) -> str:
    """How JAX computes products here, in words for a report."""
    if precision.bits is None:
        return f"{precision.name}, matmul precision highest"
    native = _NATIVE.get((jax.default_backend(), precision.name))
    if native:
        return f"matmul precision {native}, the device's own"
    return f"factors rounded to {precision.bits} bits before float32 products"


@contextlib.contextmanager
def jax_settings(precision: Precision) -> Iterator[None]:
    """What JAX must be set to while it traces and runs."""
    native = _NATIVE.get((jax.default_backend(), precision.name), "highest")
    with jax.enable_x64(precision.dtype == np.float64), jax.default_matmul_precision(native):
        yield


def compile_in(precision: Precision, function: Callable[..., Any]) -> Callable[..., Any]:
    """``jax.jit`` of a function of arrays, computing in a precision."""
    if precision.bits is None or (jax.default_backend(), precision.name) in _NATIVE:
        return jax.jit(function)
    return jax.jit(_with_rounded_factors(function, precision.bits))


def _with_rounded_factors(function: Callable[..., Any], bits: int) -> Callable[..., Any]:
    """The function with the factors of all its products rounded: its trace, run again."""

    def rounded(*arguments):
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments), bits)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return rounded


def _has_products(jaxpr: Any) -> bool:
    return any(
        equation.primitive.name in _PRODUCTS
        or any(_has_products(inner) for inner in _inner_jaxprs(equation))
        for equation in jaxpr.eqns
    )


def _inner_jaxprs(equation: Any) -> list[Any]:
    """Return the jaxprs among an equation's parameters: branches, a loop's body."""
    values = jax.tree.leaves(list(equation.params.values()))
    return [value for value in values if hasattr(value, "eqns")]


def _evaluate(jaxpr: Any, consts: Any, arguments: Any, bits: int) -> list[Any]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))
    for equation in jaxpr.eqns:
        inputs = [v.val if hasattr(v, "val") else values[v] for v in equation.invars]
        name = equation.primitive.name
        if name in _CALLS:
            inner = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
            closed = hasattr(inner, "jaxpr")
            body, constants = (inner.jaxpr, inner.consts) if closed else (inner, [])
            outputs = _evaluate(body, constants, inputs, bits)
        else:
            if any(_has_products(inner) for inner in _inner_jaxprs(equation)):
                raise UserError(
                    f"the model has products inside a {name}, whose factors cannot be rounded "
                    "here: compare in float64 and float32"
                )
            if name in _PRODUCTS:
                inputs = [jax.lax.reduce_precision(x, 8, bits) for x in inputs]
            outputs = equation.primitive.bind(*inputs, **equation.params)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [v.val if hasattr(v, "val") else values[v] for v in jaxpr.outvars]
