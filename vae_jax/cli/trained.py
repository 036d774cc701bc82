"""A trained model from whatever the user points at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vae_jax.errors import CheckpointError, UserError
from vae_jax.models import create_model, get_spec
from vae_jax.models.hyper import canonical, text_of
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec
from vae_jax.typing import Tensors, Variables

WHAT = (
    "a run folder, a Flax checkpoint folder or a reference checkpoint (a file, or the prefix of a "
    "TensorFlow checkpoint)"
)

_PARTS = {"encoder": "an encoder", "decoder": "a decoder"}


class Trained(NamedTuple):
    """A model with its weights.

    Attributes:
        name: one of ``vae_jax.MODELS``.
        hyper: hyperparameters that differ from the reference's.
        variables: NumPy arrays.
        recipe: how it was trained, or the reference's recipe where that is not known.
        remarks: what was left out of a reference checkpoint, or kept for export alone, and why.
        files: the reference checkpoint's files; () of a folder.
    """

    name: str
    hyper: dict[str, Any]
    variables: Variables
    recipe: Recipe
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """The model's line of the table."""
        return get_spec(self.name)

    @property
    def model(self) -> Any:
        """The Flax module."""
        return create_model(self.name, **self.hyper)


def load_trained(
    source: str | Sequence[str],
    model: str | None = None,
    key: str | None = None,
    hyper: dict[str, Any] | None = None,
) -> Trained:
    """Loads a run folder, a Flax checkpoint folder or a reference checkpoint.

    Args:
        source: the path; or two, where the reference saves encoder and decoder apart. Of those
            the encoder alone will do, if the decoder lies beside it under the name the tutorial
            gives it.
        model: the model of a file; default: the one whose tensors the file holds.
        key: the weights to take from a file that holds several sets.
        hyper: hyperparameters of a file that its tensors do not tell.

    Raises:
        UserError: nothing there that could be loaded, or not of that model.
    """
    from vae_jax.convert.tensorflow.checkpoint import checkpoint_prefix
    from vae_jax.training import checkpoint
    from vae_jax.training.run import is_run, open_run

    paths = [Path(text) for text in ([source] if isinstance(source, str) else source)]
    path = paths[0]
    if len(paths) > 1 or path.is_file() or checkpoint_prefix(path) is not None:
        return _load_files(paths, model, key, hyper or {})
    if not path.exists():
        raise UserError(f"{path} does not exist; expected {WHAT}")
    place, step = path, None
    if path.parent.name == "checkpoints" and path.name.isdigit():  # one of a run's
        place, step = path.parent.parent, int(path.name)
    if is_run(place):
        run = open_run(place)
        variables = checkpoint.load_run_variables(run.checkpoints, step)
        trained = Trained(run.model, run.hyper, variables, run.recipe)
    elif checkpoint.is_flax_checkpoint(path):
        name, kept, variables = checkpoint.load_variables(path)
        trained = Trained(name, kept, variables, get_spec(name).recipe)
    else:
        raise UserError(
            f"{path} is neither a run folder (with run.json) nor a Flax checkpoint folder (with "
            "model.json)"
        )
    if model not in (None, trained.name):
        raise UserError(f"{path} holds {trained.name}, not {model}: name {trained.name}")
    if hyper and canonical(trained.spec, hyper) != trained.hyper:
        raise UserError(
            f"{path} has the hyperparameters {trained.hyper or 'of the reference'}, "
            f"not {hyper}; leave out --hyper"
        )
    if key is not None:
        raise UserError(f"{path} is a folder; --key chooses inside a reference checkpoint file")
    return trained


def _load_files(
    paths: list[Path], model: str | None, key: str | None, hyper: dict[str, Any]
) -> Trained:
    import vae_jax
    from vae_jax.convert.detect import detect_model
    from vae_jax.convert.mapping import ignored_tensors, read_sizes, rules_of

    paths, tensors = _read_files(paths, key)
    path = paths[0]
    name = get_spec(model).name if model else detect_model(path, tensors)
    spec = get_spec(name)
    hyper = read_sizes(name, tensors) | canonical(spec, hyper)
    unknown = [k for k in spec.reference.undetermined(hyper) if k not in hyper]
    if unknown:
        defaults = spec.hyperparameters()
        flags = " ".join(f"--hyper {k}={text_of(defaults[k])}" for k in unknown)
        raise UserError(
            f"{path}: the tensors of a {name} do not tell {' and '.join(unknown)}; give, for "
            f"example, {flags}"
        )
    try:
        variables = vae_jax.import_weights(name, tensors, **hyper)
    except CheckpointError as error:
        raise CheckpointError(f"{' and '.join(map(str, paths))}: {error}") from error
    notes: dict[str, list[str]] = {}
    for tensor, reason in ignored_tensors(name, tensors).items():
        notes.setdefault(f"left out, {reason}", []).append(tensor)
    for rule in rules_of(name, **hyper):
        if rule.note:
            notes.setdefault(rule.note, []).append(rule.source)
    remarks = tuple(f"{note}: {', '.join(names)}" for note, names in notes.items())
    return Trained(name, hyper, variables, spec.recipe, remarks, tuple(paths))


def _read_files(paths: list[Path], key: str | None) -> tuple[list[Path], Tensors]:
    """The tensors of one file; or of an encoder's and a decoder's, joined; and which files."""
    import vae_jax
    from vae_jax.convert.detect import detect_part
    from vae_jax.convert.parts import join_parts, sibling

    tensors = vae_jax.read_checkpoint(paths[0], key=key)
    part = detect_part(tensors)
    if len(paths) == 1:
        if part is None:
            return paths, tensors
        other = "decoder" if part == "encoder" else "encoder"
        beside = sibling(paths[0], part, other)
        if beside is None or not beside.is_file():
            where = f" ({beside.name} is not beside it)" if beside else ""
            raise CheckpointError(
                f"{paths[0]} is {_PARTS[part]} without its {other}{where}: give both files, the "
                "encoder first"
            )
        paths = [paths[0], beside] if part == "encoder" else [beside, paths[0]]
    if len(paths) > 2:
        raise UserError(f"{len(paths)} files given; expected one, or an encoder and a decoder")
    parts = {}
    for role, path in zip(_PARTS, paths, strict=True):
        parts[role] = vae_jax.read_checkpoint(path, key=key)
        found = detect_part(parts[role])
        if found != role:
            what = _PARTS[found] if found else f"neither of the parts ({', '.join(parts[role])})"
            raise CheckpointError(
                f"{path} was given as the {role} but is {what:.200}: give the encoder's file "
                "first, then the decoder's"
            )
    return paths, join_parts(parts)
