"""Read a reference checkpoint: identify its model, join its parts, import its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vae_jax.convert.detect import detect_model, detect_part
from vae_jax.convert.errors import reading
from vae_jax.convert.mapping import (
    ignored_tensors,
    import_weights,
    read_sizes,
    require_finite,
    require_names,
    rules_of,
)
from vae_jax.convert.model_tensors import ModelTensors, read_model_tensors
from vae_jax.convert.parts import join_parts, sibling
from vae_jax.convert.strangers import name_foreign_names
from vae_jax.errors import CheckpointError, UserError
from vae_jax.models import get_spec
from vae_jax.models.hyper import format_hyperparameter, parse_hyperparameters
from vae_jax.typing import Tensors, Variables

_PARTS = {"encoder": "an encoder", "decoder": "a decoder"}


class ReferenceWeights(NamedTuple):
    """The weights of a reference checkpoint as Flax variables.

    Attributes:
        name: one of ``vae_jax.MODELS``.
        hyper: hyperparameters that differ from the reference's.
        variables: the variables, as NumPy arrays.
        remarks: what was taken off the names, joined or folded, and which tensors were left out
            or are only kept for export, and why.
        files: all files that were read.
    """

    name: str
    hyper: dict[str, object]
    variables: Variables
    remarks: tuple[str, ...]
    files: tuple[Path, ...]


def read_reference(
    paths: Sequence[Path], model: str | None, key: str | None, hyper: Mapping[str, object]
) -> ReferenceWeights:
    """Read the checkpoint of a reference model.

    Args:
        paths: the file or TensorFlow prefix; or an encoder's and a decoder's file. One of the two
            is enough if the other is beside it under the name that its tutorial gives it.
        model: one of ``vae_jax.MODELS``; None to detect it.
        key: the dotted path of the weights in a file that holds several sets.
        hyper: hyperparameters that tensor shapes do not determine.

    Raises:
        CheckpointError: a file is unreadable, incomplete or of another model.
        UserError: a hyperparameter is missing.
    """
    files, found = _read_files(list(paths), key)
    tensors = found.tensors
    if foreign := name_foreign_names(tensors):
        raise CheckpointError(f"{files[0]}: {foreign}")
    name = get_spec(model).name if model else detect_model(files[0], tensors)
    spec = get_spec(name)
    known = read_sizes(name, tensors) | parse_hyperparameters(spec, dict(hyper))
    unknown = [k for k in spec.reference.undetermined(known) if k not in known]
    with reading(" and ".join(map(str, files)), errors=CheckpointError):
        if unknown:
            require_names(name, tensors, **known)
            defaults = spec.hyperparameters()
            flags = " ".join(f"--hyper {k}={format_hyperparameter(defaults[k])}" for k in unknown)
            raise UserError(
                f"{files[0]}: {name}'s {' and '.join(unknown)} cannot be inferred from its "
                f"tensors; give, for example, {flags}"
            )
        variables = import_weights(name, tensors, **known)
        require_finite(name, variables, **known)
    notes: dict[str, list[str]] = {}
    for tensor, reason in ignored_tensors(name, tensors).items():
        notes.setdefault(f"left out, {reason}", []).append(tensor)
    for rule in rules_of(name, **known):
        if rule.note:
            notes.setdefault(rule.note, []).append(rule.source)
    remarks = (f"{note}: {', '.join(names)}" for note, names in notes.items())
    return ReferenceWeights(name, known, variables, (*found.remarks, *remarks), tuple(files))


def _read_files(paths: list[Path], key: str | None) -> tuple[list[Path], ModelTensors]:
    """Return the files to read, and their tensors, an encoder's and a decoder's joined."""
    if len(paths) > 2:
        raise UserError(f"{len(paths)} files given; expected one, or an encoder and a decoder")
    first = read_model_tensors(paths[0], key=key)
    part = detect_part(first.tensors)
    if len(paths) == 1:
        if part is None:
            return paths, first
        other = "decoder" if part == "encoder" else "encoder"
        beside = sibling(paths[0], part, other)
        if beside is None or not beside.is_file():
            where = f" ({beside.name} is not beside it)" if beside else ""
            raise CheckpointError(
                f"{paths[0]} is {_PARTS[part]} without its {other}{where}: give both files, the "
                "encoder first"
            )
        paths = [paths[0], beside] if part == "encoder" else [beside, paths[0]]
    parts: dict[str, Tensors] = {}
    remarks: dict[str, None] = {}
    for role, path in zip(_PARTS, paths, strict=True):
        read = read_model_tensors(path, key=key)
        parts[role] = read.tensors
        remarks |= dict.fromkeys(read.remarks)
        found = detect_part(parts[role])
        if found != role:
            what = _PARTS[found] if found else f"neither of the parts ({', '.join(parts[role])})"
            raise CheckpointError(
                f"{path} was given as the {role} but is {what:.200}: give the encoder's file "
                "first, then the decoder's"
            )
    return paths, ModelTensors(join_parts(parts), tuple(remarks))
