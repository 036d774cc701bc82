"""A trained model from whatever the user points at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.cli.options import existing_path
from vae_jax.errors import CheckpointError, UserError
from vae_jax.typing import Tensors, Variables


class Trained(NamedTuple):
    """A model with its weights.

    Attributes:
        name: one of ``vae_jax.MODELS``.
        hyper: hyperparameters that differ from the reference's.
        variables: NumPy arrays.
        data: the data source that it was trained on, where that is known.
    """

    name: str
    hyper: dict[str, Any]
    variables: Variables
    data: str | None


def load_trained(
    text: str, model: str | None = None, key: str | None = None, hyper: dict[str, Any] | None = None
) -> Trained:
    """Loads a run folder, a Flax checkpoint folder or a reference checkpoint file.

    Args:
        text: the path.
        model: the model of a file; default: the one whose tensors the file holds.
        key: the weights to take from a file that holds several sets.
        hyper: hyperparameters of a file.

    Raises:
        UserError: nothing there that could be loaded, or not of that model.
    """
    from vae_jax.training import checkpoint
    from vae_jax.training.run import is_run, open_run

    path = existing_path(text)
    if path.is_file():
        return _load_file(path, model, key, hyper or {})
    if is_run(path):
        run = open_run(path)
        variables = checkpoint.load_run_variables(run.checkpoints)
        trained = Trained(run.model, run.hyper, variables, run.recipe.data)
    elif checkpoint.is_flax_checkpoint(path):
        trained = Trained(*checkpoint.load_variables(path), data=None)
    else:
        raise UserError(
            f"{path} is neither a run folder (with run.json) nor a Flax checkpoint folder (with "
            "model.json)"
        )
    if model not in (None, trained.name):
        raise UserError(f"{path} holds {trained.name}, not {model}; leave out --model")
    if hyper and hyper != trained.hyper:
        raise UserError(
            f"{path} has the hyperparameters {trained.hyper or 'of the reference'}, "
            f"not {hyper}; leave out --hyper"
        )
    if key is not None:
        raise UserError(f"{path} is a folder; --key chooses inside a reference checkpoint file")
    return trained


def _load_file(path: Path, model: str | None, key: str | None, hyper: dict[str, Any]) -> Trained:
    import vae_jax

    tensors = vae_jax.read_checkpoint(path, key=key)
    name = model or detect_model(path, tensors)
    try:
        return Trained(name, hyper, vae_jax.import_weights(name, tensors, **hyper), data=None)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def detect_model(path: Path, tensors: Tensors) -> str:
    """The model whose tensor names a file has.

    Raises:
        CheckpointError: none, or several.
    """
    from vae_jax.convert.mapping import rules_of
    from vae_jax.models import MODELS

    fits = [
        name
        for name in MODELS
        if {r.source for r in rules_of(name) if r.default is None} <= tensors.keys()
    ]
    if len(fits) != 1:
        found = ", ".join(list(tensors)[:4]) + (", ..." if len(tensors) > 4 else "")
        raise CheckpointError(
            f"{path} holds {len(tensors)} tensors ({found}) that are "
            f"{'no' if not fits else 'more than one'} model's; name it with --model: "
            f"{', '.join(fits or MODELS)}"
        )
    return fits[0]
