"""The training state: everything that changes while a model trains."""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
from __future__ import annotations

from typing import NamedTuple, cast

import flax.traverse_util
import jax  # many of its functions have no full hints
import jax.numpy as jnp
import optax  # without stubs

from vae_jax.errors import CheckpointError
from vae_jax.models import init_variables, variable_shapes
from vae_jax.models.base import Autoencoder
from vae_jax.typing import AnyArray, Key, Tree, Variables

_Leaves = list[tuple[tuple[object, ...], AnyArray]]


class TrainState(NamedTuple):
    """The state of a run; with the recipe and the data it determines every later step.

    Attributes:
        step: the number of steps taken, int32 [].
        params: the parameters.
        batch_stats: the running statistics, ``{}`` for a model without any.
        opt_state: the optimiser's state.
    """

    step: jax.Array
    params: Tree
    batch_stats: Tree
    opt_state: optax.OptState

    @property
    def variables(self) -> Variables:
        """Return the parameters and statistics in the form that ``model.apply`` takes."""
        return variables_of(self.params, self.batch_stats)


def variables_of(params: Tree, batch_stats: Tree) -> Variables:
    """Return the variables of ``model.apply``, without an empty ``batch_stats``."""
    return {"params": params} | ({"batch_stats": batch_stats} if batch_stats else {})


def create_state(
    model: Autoencoder,
    optimizer: optax.GradientTransformation,
    key: Key,
    variables: Variables | None = None,
    opt_state: object = None,
) -> TrainState:
    """Return a state at step 0.

    Args:
        model: the model.
        optimizer: its optimiser.
        key: the key of the initialisation; unused if ``variables`` are given.
        variables: weights to start from; default: initialised from ``key``.
        opt_state: optimiser state to start from, with any step count; default: a fresh one.
    """
    if variables is None:
        variables = cast(Variables, init_variables(model, key))
    # Copied, because the step donates the state's memory while the caller keeps the variables.
    params = jax.tree.map(jnp.copy, variables["params"])
    batch_stats = jax.tree.map(jnp.copy, variables.get("batch_stats", {}))
    fresh = optimizer.init(params)
    if opt_state is not None:
        fresh = jax.tree.map(_as_type_of, fresh, opt_state)
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, fresh)


def named_leaves(tree: Tree, separator: str) -> dict[str, AnyArray]:
    """Return the leaves of a tree by their paths, with a separator between the parts of each."""
    leaves = cast(_Leaves, jax.tree_util.tree_leaves_with_path(tree))
    return {jax.tree_util.keystr(p, simple=True, separator=separator): leaf for p, leaf in leaves}


def _as_type_of(old: jax.Array, new: AnyArray) -> jax.Array:
    return jnp.array(new, old.dtype)


def check_variables(model: Autoencoder, variables: Variables) -> None:
    """Check that variables fit a model.

    Raises:
        CheckpointError: a leaf is missing, unexpected or of another shape.
    """
    flat = cast(dict[tuple[str, ...], AnyArray], flax.traverse_util.flatten_dict(variables))
    expected = variable_shapes(model)
    wrong = [
        "/".join(path)
        for path in sorted(expected.keys() | flat.keys())
        if path not in flat or expected.get(path) != flat[path].shape
    ]
    if wrong:
        raise CheckpointError(
            f"these are not the variables of {type(model).__name__}: {len(wrong)} leaves are "
            f"missing, unexpected or of another shape, {wrong[0]} the first"
        )
