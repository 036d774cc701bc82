"""Transfer Adam's state between frameworks, for ``train --init`` and ``convert --optimizer``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

import jax
import numpy as np
import optax

from vae_jax.convert.optimizer import AdamState, export_adam, import_adam
from vae_jax.convert.training_files import read_adam
from vae_jax.errors import CheckpointError, UserError
from vae_jax.optim import optimizer_of
from vae_jax.pretrained import Pretrained
from vae_jax.recipe import Recipe
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.metrics import read_metrics
from vae_jax.training.run import is_run, open_run


class ImportedOptimizer(NamedTuple):
    """The Adam state of a reference checkpoint, ready to continue training.

    Attributes:
        opt_state: the Optax state of the recipe's optimiser.
        recipe: the recipe, with the file's settings where the command line gave none.
        steps: how many steps Adam has taken.
        lines: messages for the user.
        epoch: the epoch that the file stores, if any.
    """

    opt_state: optax.OptState
    recipe: Recipe
    steps: int
    lines: tuple[str, ...]
    epoch: int | None = None


def import_optimizer(
    pretrained: Pretrained, recipe: Recipe, chosen: Mapping[str, object]
) -> ImportedOptimizer | None:
    """Read the Adam state in or beside a reference checkpoint.

    Args:
        pretrained: the model, loaded from the checkpoint.
        recipe: the recipe of the run that is to start.
        chosen: the recipe fields that the command line gave, which override the file's.

    Returns:
        None if there is no optimiser state, or the weights are not from a reference checkpoint.

    Raises:
        CheckpointError: the state cannot be continued.
    """
    if not pretrained.files:
        return None

    adam = read_adam(
        pretrained.name,
        pretrained.files,
        recipe,
        key=pretrained.key,
        decay_is_given="weight_decay" in chosen,
        **pretrained.hyper,
    )
    if adam is None:
        return None
    named = " and ".join(map(str, pretrained.files))
    kept = {field: value for field, value in adam.settings.items() if field not in chosen}
    try:
        recipe = recipe.replace(**kept)
    except UserError as error:
        raise CheckpointError(
            f"{named}: its optimiser's {error}; give that option, or --fresh-optimizer"
        ) from error
    template = jax.eval_shape(optimizer_of(recipe).init, pretrained.variables["params"])
    opt_state = import_adam(pretrained.name, adam, template, **pretrained.hyper)
    epoch = "" if adam.epoch is None else f" (the file's epoch is {adam.epoch})"
    lines = [f"continues Adam after {adam.step} steps{epoch}: {named}", *adam.remarks]
    if "learning_rate" not in chosen:
        whose = "the file's" if "learning_rate" in adam.settings else "the recipe's"
        lines.append(f"learning_rate {recipe.learning_rate:g}, {whose}, at every step")
    other = [
        f"{field} {chosen[field]!r} instead of the file's {value!r}"
        for field, value in adam.settings.items()
        if field in chosen and chosen[field] != value
    ]
    if other:
        lines.append(f"set by the command line: {', '.join(other)}")
    state = cast(optax.OptState, opt_state)
    return ImportedOptimizer(state, recipe, adam.step, tuple(lines), adam.epoch)


class ExportedOptimizer(NamedTuple):
    """The Adam state of a trained model, under its reference's names.

    Attributes:
        adam: the state.
        recipe: its settings.
        epoch: epochs trained, those of the file that a run began with included; None if a file
            does not say.
    """

    adam: AdamState
    recipe: Recipe
    epoch: int | None

    @property
    def settings(self) -> dict[str, float]:
        """The settings to create the original's optimiser with; Paddle's files lack them."""
        fields = ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")
        return {field: getattr(self.recipe, field) for field in fields}


def export_optimizer(source: str, pretrained: Pretrained) -> ExportedOptimizer:
    """Return the Adam state of a run's last checkpoint, or of a reference checkpoint.

    Args:
        source: the run's folder, or the checkpoint's first file.
        pretrained: the model, loaded from there.

    Raises:
        CheckpointError: there is no optimiser state, or one without steps.
    """
    if is_run(Path(source)):
        run = open_run(Path(source))
        state = load_run_state(run.checkpoints)
        adam_state = cast(optax.ScaleByAdamState, state.opt_state)
        if np.asarray(adam_state.count).item() == 0:
            raise CheckpointError(f"{source}: its Adam has taken no step yet; train it first")
        try:
            adam = export_adam(pretrained.name, adam_state, **pretrained.hyper)
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}") from error
        done = [int(r["epoch"]) for r in read_metrics(run) if r["step"] <= state.step]
        epoch = (run.init_epoch or 0) + max(done, default=0)
        return ExportedOptimizer(adam, run.recipe, epoch)
    adam = None
    if pretrained.files:
        adam = read_adam(
            pretrained.name,
            pretrained.files,
            pretrained.recipe,
            key=pretrained.key,
            decay_is_given=False,
            **pretrained.hyper,
        )
    if adam is None:
        raise CheckpointError(
            f"{source} holds no optimiser state: expected a run folder, or a training "
            "checkpoint; leave out --optimizer"
        )
    return ExportedOptimizer(adam, pretrained.recipe.replace(**adam.settings), adam.epoch)
