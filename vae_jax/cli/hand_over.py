"""The optimiser's state that ``train --init`` takes and ``convert --optimizer`` gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.cli.trained import Trained
from vae_jax.errors import CheckpointError, UserError
from vae_jax.recipe import Recipe


class Continued(NamedTuple):
    """An original's Adam, to go on with.

    Attributes:
        opt_state: the Optax state of the recipe's optimiser.
        recipe: with the file's settings where the command line gave none.
        steps: how many steps Adam has taken.
        lines: what to tell the user.
    """

    opt_state: Any
    recipe: Recipe
    steps: int
    lines: tuple[str, ...]


def continue_adam(trained: Trained, recipe: Recipe, chosen: Mapping[str, Any]) -> Continued | None:
    """The Adam that a reference checkpoint holds beside the weights.

    Args:
        trained: as loaded from the checkpoint.
        recipe: of the run that is to start.
        chosen: the recipe fields that the command line gave: they win over the file's.

    Returns:
        None where there is no optimiser's state, or the weights are not of a checkpoint file.

    Raises:
        CheckpointError: there is one, and it cannot be continued.
    """
    if not trained.files:
        return None
    import jax

    from vae_jax.convert.optimizer import import_adam
    from vae_jax.convert.training_files import read_adam
    from vae_jax.optim import optimizer_of

    adam = read_adam(trained.name, trained.files, recipe, **trained.hyper)
    if adam is None:
        return None
    named = " and ".join(map(str, trained.files))
    kept = {field: value for field, value in adam.settings.items() if field not in chosen}
    try:
        recipe = recipe.replace(**kept)
    except UserError as error:
        raise CheckpointError(
            f"{named}: its optimiser's {error}; give that option, or --fresh-optimizer"
        ) from error
    template = jax.eval_shape(optimizer_of(recipe).init, trained.variables["params"])
    opt_state = import_adam(trained.name, adam, template, **trained.hyper)
    epoch = "" if adam.epoch is None else f" (the file's epoch is {adam.epoch})"
    lines = [f"continues Adam after {adam.step} steps{epoch}: {named}"]
    other = [
        f"{field} {chosen[field]!r} for the file's {value!r}"
        for field, value in adam.settings.items()
        if field in chosen and chosen[field] != value
    ]
    if other:
        lines.append(f"as the command line says: {', '.join(other)}")
    return Continued(opt_state, recipe, adam.step, tuple(lines))


class Kept(NamedTuple):
    """The Adam of a trained model, under its original's names.

    Attributes:
        adam: its state.
        recipe: its settings.
        epoch: epochs trained.
    """

    adam: Any
    recipe: Recipe
    epoch: int

    @property
    def settings(self) -> dict[str, float]:
        """What the original's optimiser is to be made with; Paddle's files do not tell."""
        fields = ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay")
        return {field: getattr(self.recipe, field) for field in fields}


def kept_adam(source: str, trained: Trained, key: str | None) -> Kept:
    """The Adam of a run's last checkpoint, or of a reference checkpoint.

    Args:
        source: the run's folder, or the checkpoint's first file.
        trained: as loaded from there.
        key: the dotted path of the weights in a file that holds several.

    Raises:
        CheckpointError: there is none.
    """
    from vae_jax.convert.optimizer import export_adam
    from vae_jax.convert.training_files import read_adam
    from vae_jax.training.checkpoint import load_run_state
    from vae_jax.training.metrics import read_metrics
    from vae_jax.training.run import is_run, open_run

    if is_run(Path(source)):
        run = open_run(Path(source))
        state = load_run_state(run.checkpoints)
        if int(state.opt_state.count) == 0:
            raise CheckpointError(f"{source}: its Adam has taken no step yet; train it first")
        try:
            adam = export_adam(trained.name, state.opt_state, **trained.hyper)
        except CheckpointError as error:
            raise CheckpointError(f"{source}: {error}") from error
        done = [r["epoch"] for r in read_metrics(run) if r["step"] <= state.step]
        return Kept(adam, run.recipe, max(done, default=0))
    adam = None
    if trained.files:
        adam = read_adam(trained.name, trained.files, trained.recipe, key=key, **trained.hyper)
    if adam is None:
        raise CheckpointError(
            f"{source} holds no optimiser's state: expected a run folder, or a training "
            "checkpoint; leave out --optimizer"
        )
    return Kept(adam, trained.recipe.replace(**adam.settings), adam.epoch or 0)
