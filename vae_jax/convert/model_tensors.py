"""Read a checkpoint's tensors under a model's own names, from the forms that people save.

Names get prefixes from what a model was wrapped in, a file can hold the parts of a model as one
dict each, and weights can be parametrised. Each is undone only where exactly the names of a model,
or of a part of one, are left, and is told in a remark.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from vae_jax.convert.detect import has_all_names
from vae_jax.convert.errors import reading
from vae_jax.convert.names import strip_prefixes, strip_wrappers
from vae_jax.convert.parametrizations import fold_parametrizations
from vae_jax.convert.parts import join_parts
from vae_jax.convert.read import read_checkpoint, read_state_dicts
from vae_jax.convert.shards import index_of_shard
from vae_jax.convert.state_dicts import only_state_dict
from vae_jax.convert.tensorflow.checkpoint import checkpoint_prefix
from vae_jax.errors import CheckpointError
from vae_jax.typing import Tensors

_GENERIC = "state_dict|state|model|models|net|nets|networks|modules|weights|params"
_AROUND = re.compile(rf"^(?:{_GENERIC})_|_(?:{_GENERIC})$")


class ModelTensors(NamedTuple):
    """A checkpoint's tensors under a model's names.

    Attributes:
        tensors: the tensors, in the file's order.
        remarks: what was taken off the names, joined or folded.
        folded: whether weights were folded, so that an optimiser's moments are not theirs.
    """

    tensors: Tensors
    remarks: tuple[str, ...] = ()
    folded: bool = False


def read_model_tensors(path: str | os.PathLike[str], *, key: str | None = None) -> ModelTensors:
    """Read a checkpoint like ``read_checkpoint``, and undo wrappers, parts and parametrisations.

    Raises:
        CheckpointError: as in ``read_checkpoint``.
    """
    if checkpoint_prefix(path) is not None:
        return ModelTensors(read_checkpoint(path, key=key))
    with reading(path):
        found = read_state_dicts(path, key=key)
        if len(found) == 1:
            whole = unwrap(only_state_dict(found))
            index = index_of_shard(path)
            if index is not None and not has_all_names(whole.tensors):
                raise CheckpointError(
                    f"is one of several shards, with {len(whole.tensors)} tensors: expected the "
                    f"whole model; give {index}, with all shards beside it"
                )
            return whole
        for joined in _joined(found):
            whole = unwrap(joined)
            if has_all_names(whole.tensors):
                line = f"joined from the file's dicts {', '.join(found)}"
                return whole._replace(remarks=(line, *whole.remarks))
        return ModelTensors(only_state_dict(found))  # its error lists them


def unwrap(tensors: Tensors) -> ModelTensors:
    """Undo parametrisations, and the prefixes that leave exactly a model's names.

    Raises:
        CheckpointError: two names would become one, or a weight is not determined.
    """
    folded = fold_parametrizations(tensors)
    remarks = [
        f"{kind} is folded into {', '.join(weights)}" for kind, weights in folded.weights.items()
    ]
    found = folded.tensors
    for names in strip_prefixes(found):
        renamed = {new: found[old] for old, new in names.items()}
        if len(renamed) == len(found) and has_all_names(renamed):
            if prefixes := _taken_off(names):
                remarks.append(f"taken off the names: {prefixes}")
            return ModelTensors(renamed, tuple(remarks), bool(folded.weights))
    bare = {new: found[old] for old, new in strip_wrappers(found).items()}
    return ModelTensors(bare, tuple(remarks), bool(folded.weights))


def _taken_off(names: Mapping[str, str]) -> str:
    """Return what was taken off the names; "" if nothing was."""
    pieces = {old.removesuffix(new) if old.endswith(new) else "" for old, new in names.items()}
    if pieces == {""} and all(old == new for old, new in names.items()):
        return ""
    pieces.discard("")
    return " and ".join(sorted(pieces)) if pieces else "the prefixes of wrappers inside"


def _part_name(path: str) -> str:
    """Return the part that a dict's path names: ``encoder`` of ``nets.encoder_state_dict``."""
    words = [word for word in path.split(".") if not re.fullmatch(_GENERIC, word)]
    return _AROUND.sub("", words[-1]) if words else ""


def _joined(found: Mapping[str, Tensors]) -> Iterator[Tensors]:
    """Yield the dicts' tensors together, with what may be the parts' names before them."""
    bare: dict[str, Tensors] = {}
    for path, tensors in found.items():
        try:
            names = strip_wrappers(tensors)
        except CheckpointError:
            return
        bare[path] = {new: tensors[old] for old, new in names.items()}
    for title_of in (_part_name, str):
        titles = {title_of(path): tensors for path, tensors in bare.items()}
        if len(titles) == len(bare):
            yield join_parts(titles)
    together = {name: array for tensors in bare.values() for name, array in tensors.items()}
    if len(together) == sum(map(len, bare.values())):
        yield together  # each part's names begin with the part already
