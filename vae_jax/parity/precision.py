"""The precisions that a comparison runs in, set in both frameworks.

``tf32`` and ``bfloat16`` are what accelerators do to products: the factors of every matrix product
and convolution, in the gradients too, are rounded to 10 or 7 bits of fraction and summed in
float32; weights, reductions and the optimiser stay in float32. Where the device cannot, the same is
computed by rounding the factors first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jax.typing import ArrayLike
from numpy.typing import DTypeLike

from vae_jax.errors import UserError

T = TypeVar("T")


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


PrecisionLike = Precision | str | DTypeLike
"""A precision, its name, or the NumPy dtype of the precision of that name."""


def precision_of(which: PrecisionLike) -> Precision:
    """Return the precision of a name, or of a NumPy dtype.

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
    """Return how JAX computes products here, in words for a report."""
    if precision.bits is None:
        return f"{precision.name}, matmul precision highest"
    native = _NATIVE.get((jax.default_backend(), precision.name))
    if native:
        return f"matmul precision {native}, the device's own"
    return f"factors rounded to {precision.bits} bits before float32 products"


@contextlib.contextmanager
def jax_settings(precision: Precision) -> Iterator[None]:
    """Set JAX to a precision while it traces and runs."""
    native = _NATIVE.get((jax.default_backend(), precision.name), "highest")
    with jax.enable_x64(precision.dtype == np.float64), jax.default_matmul_precision(native):
        yield


def compile_in(precision: Precision, function: Callable[..., T]) -> Callable[..., T]:
    """Return ``jax.jit`` of a function of arrays, computing in a precision."""
    if precision.bits is None or (jax.default_backend(), precision.name) in _NATIVE:
        return jax.jit(function)
    return jax.jit(_with_rounded_factors(function, precision.bits))


def _with_rounded_factors(function: Callable[..., T], bits: int) -> Callable[..., T]:
    """Return the function with the factors of all its products rounded: its trace, run again."""

    def rounded(*arguments: object) -> T:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments), bits)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return rounded


def _has_products(jaxpr: Jaxpr | ClosedJaxpr) -> bool:
    return any(
        equation.primitive.name in _PRODUCTS
        or any(_has_products(inner) for inner in _inner_jaxprs(equation))
        for equation in jaxpr.eqns
    )


def _inner_jaxprs(equation: JaxprEqn) -> list[Jaxpr | ClosedJaxpr]:
    """Return the jaxprs among an equation's parameters: branches, a loop's body."""
    values = jax.tree.leaves(list(equation.params.values()))
    return [value for value in values if isinstance(value, Jaxpr | ClosedJaxpr)]


def _evaluate(
    jaxpr: Jaxpr, consts: Sequence[ArrayLike], arguments: Sequence[ArrayLike], bits: int
) -> list[ArrayLike]:
    """Return what a jaxpr computes, with the factors of its products rounded."""
    values: dict[Var, ArrayLike] = dict(
        zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True)
    )
    for equation in jaxpr.eqns:
        inputs = [_value(atom, values) for atom in equation.invars]
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
    return [_value(atom, values) for atom in jaxpr.outvars]


def _value(atom: Var | Literal, values: Mapping[Var, ArrayLike]) -> ArrayLike:
    return atom.val if isinstance(atom, Literal) else values[atom]
