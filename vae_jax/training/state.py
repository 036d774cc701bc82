"""The training state: everything that changes while a model trains."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from vae_jax.errors import CheckpointError
from vae_jax.models import init_variables, variable_shapes
from vae_jax.typing import Key, Variables


class TrainState(NamedTuple):
    """The state of a run; with the recipe and the data it determines every later step.

    Attributes:
        step: the number of steps taken, int32 [].
        params: the parameters.
        batch_stats: the running statistics, ``{}`` for a model without any.
        opt_state: the optimiser's state.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> Variables:
        """Return the parameters and statistics in the form that ``model.apply`` takes."""
        return variables_of(self.params, self.batch_stats)


def variables_of(params: Any, batch_stats: Any) -> Variables:
    """Return the variables of ``model.apply``, without an empty ``batch_stats``."""
    return {"params": params} | ({"batch_stats": batch_stats} if batch_stats else {})


def create_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    key: Key,
    variables: Variables | None = None,
    opt_state: Any = None,
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
        variables = init_variables(model, key)
    assert variables is not None
    # Copied, because the step donates the state's memory while the caller keeps the variables.
    params = jax.tree.map(jnp.array, variables["params"])
    batch_stats = jax.tree.map(jnp.array, variables.get("batch_stats", {}))
    fresh = optimizer.init(params)
    if opt_state is not None:
        fresh = jax.tree.map(lambda old, new: jnp.array(new, old.dtype), fresh, opt_state)
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, fresh)


def check_variables(model: nn.Module, variables: Variables) -> None:
    """Check that variables fit a model.

    Raises:
        CheckpointError: a leaf is missing, unexpected or of another shape.
    """
    flat: Any = flax.traverse_util.flatten_dict(dict(variables))
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
