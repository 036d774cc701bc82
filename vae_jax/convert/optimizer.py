"""Convert Adam's state between a reference's names and layouts and an Optax state.

The moments have the layout of their parameters, so the model's rules convert them too. All
frameworks' moments get the names of ``torch.optim.Adam``.
"""

# Flax does not type its trees, and Optax has no stubs.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.convert.mapping import export_leaves, few, flat_leaves, rules_of, source_shapes
from vae_jax.errors import CheckpointError
from vae_jax.typing import Tensors, Variables

MAX_STEPS = 2**31 - 1  # Optax counts in int32
_ALONE = "train --fresh-optimizer imports only the weights"


class AdamState(NamedTuple):
    """Adam's state in a reference's names and layouts.

    Attributes:
        step: updates taken.
        exp_avg: the first moment of each parameter.
        exp_avg_sq: the second moment.
        settings: recipe fields that the file stores, such as ``learning_rate``; {} if it stores
            none.
        epoch: the epoch that the file stores, if any.
        remarks: lines for the user about how the file was read.
    """

    step: int
    exp_avg: Tensors
    exp_avg_sq: Tensors
    settings: dict[str, float]
    epoch: int | None = None
    remarks: tuple[str, ...] = ()


def cannot_continue(found: str, expected: str) -> CheckpointError:
    """Return the error for an optimiser state that this package's Adam cannot continue."""
    return CheckpointError(f"{found}: expected {expected}; {_ALONE}")


def parameter_shapes(name: str, **hyper: object) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the reference's parameters (tensors with a gradient), in its order."""
    shapes = source_shapes(name, **hyper)
    rules = rules_of(name, **hyper)
    return {rule.source: shapes[rule.source] for rule in rules if rule.target[0] == "params"}


def import_adam(name: str, adam: AdamState, opt_state: object, **hyper: object) -> object:
    """Convert a reference's Adam state to an Optax state.

    Args:
        name: one of ``vae_jax.MODELS``.
        adam: the reference's state. A parameter without moments gets zeros, which is right for
            one that the model does not use (see ``require_moments``).
        opt_state: a state of the model's optimiser, whose Adam state is replaced;
            ``jax.eval_shape`` of its ``init`` is enough.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Returns:
        The same tree with the step count and the moments as NumPy arrays, half precisions widened.

    Raises:
        CheckpointError: ``check_adam`` refuses the state.
    """
    shapes = parameter_shapes(name, **hyper)
    check_adam(adam, shapes)
    moments: list[Variables] = []
    for tensors in (adam.exp_avg, adam.exp_avg_sq):
        example = next(iter(tensors.values()))
        leaves: dict[tuple[str, ...], np.ndarray] = {}
        for rule in rules_of(name, **hyper):
            if rule.source in shapes:
                array = tensors.get(rule.source)
                if array is None:
                    array = np.zeros(shapes[rule.source], example.dtype)
                dtype = array.dtype if array.dtype.itemsize >= 4 else np.float32
                leaves[rule.target[1:]] = np.array(rule.to_target(array), dtype, order="C")
        moments.append(cast("Variables", flax.traverse_util.unflatten_dict(leaves)))
    count = np.asarray(adam.step, np.int32)
    imported = optax.ScaleByAdamState(count, *moments)  # pyright: ignore[reportArgumentType]

    def replaced(part: object) -> object:
        return imported if _is_adam(part) else part

    return jax.tree.map(replaced, opt_state, is_leaf=_is_adam)


def export_adam(name: str, opt_state: object, **hyper: object) -> AdamState:
    """Convert an Optax state to a reference's Adam state: the inverse of ``import_adam``.

    Args:
        name: one of ``vae_jax.MODELS``.
        opt_state: a state of the model's optimiser.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Raises:
        CheckpointError: there is no Adam state, or it is not this model's.
    """
    found = [s for s in jax.tree.leaves(opt_state, is_leaf=_is_adam) if _is_adam(s)]
    if len(found) != 1:
        raise CheckpointError(
            f"the optimiser's state holds {len(found)} states of Adam: expected 1"
        )
    (state,) = found
    rules = rules_of(name, **hyper)
    moments = [export_leaves(rules, flat_leaves({"params": t})) for t in (state.mu, state.nu)]
    adam = AdamState(int(state.count), moments[0], moments[1], {})
    check_adam(adam, parameter_shapes(name, **hyper))
    return adam


def require_moments(name: str, adam: AdamState, **hyper: object) -> None:
    """Check that every parameter that the model uses has moments.

    Frameworks count Adam's steps per parameter, and one without moments would begin at step 1;
    Optax has one count for all.

    Raises:
        CheckpointError: parameters have no moments.
    """
    used = [r.source for r in rules_of(name, **hyper) if r.target[0] == "params" and not r.note]
    if absent := [source for source in used if source not in adam.exp_avg]:
        rate = adam.settings.get("learning_rate")
        keep = "" if rate is None else f" and --learning-rate {rate:g} keeps the file's rate"
        raise CheckpointError(
            f"its optimiser has no moments of {few(absent, ', ')} (frozen, or without a gradient): "
            f"expected moments of every parameter; {_ALONE}{keep}"
        )


def check_adam(adam: AdamState, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that a state fits parameters of these names and shapes.

    Raises:
        CheckpointError: a moment is unexpected, has a wrong shape or dtype, is not finite, is a
            negative square or lacks its counterpart; or there are no moments, or the step count is
            not positive or too large.
    """
    if not 1 <= adam.step <= MAX_STEPS:
        raise cannot_continue(
            f"its optimiser has taken {adam.step} steps", f"from 1 to {MAX_STEPS}"
        )
    if not adam.exp_avg:
        raise cannot_continue("its optimiser has moments of no parameter", "Adam's moments")
    if odd := sorted(adam.exp_avg.keys() ^ adam.exp_avg_sq.keys()):
        raise cannot_continue(
            f"its optimiser has only one of the two moments of {odd[0]}", "both, or neither"
        )
    for moment, tensors in (("exp_avg", adam.exp_avg), ("exp_avg_sq", adam.exp_avg_sq)):
        for name, array in tensors.items():
            if name not in shapes:
                raise cannot_continue(
                    f"its {moment} has the parameter {name!r:.80}", "the model's parameters"
                )
            if array.shape != shapes[name]:
                raise cannot_continue(
                    f"its {moment} of {name} is {array.shape}", f"the parameter's {shapes[name]}"
                )
            if not jnp.issubdtype(array.dtype, jnp.floating):
                raise cannot_continue(f"its {moment} of {name} is {array.dtype}", "floating point")
            plain = array.astype(np.float32) if array.dtype.itemsize < 4 else array
            if not np.isfinite(plain).all():
                raise cannot_continue(f"its {moment} of {name} is not finite", "finite moments")
            if moment == "exp_avg_sq" and (plain < 0).any():
                raise cannot_continue(
                    f"its {moment} of {name} is negative somewhere", "means of squares"
                )


def _is_adam(part: object) -> bool:
    return isinstance(part, optax.ScaleByAdamState)
