"""Map a reference's tensors to Flax variables and back, accounting for every tensor."""

# Flax does not type its trees.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import cast

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from vae_jax.convert.files import Arrays
from vae_jax.convert.names import AVERAGED, strip_wrappers
from vae_jax.errors import CheckpointError
from vae_jax.models import MODELS, create_model, get_spec, variable_shapes
from vae_jax.models.hyper import format_hyperparameter
from vae_jax.spec import Ignored, Rule
from vae_jax.typing import Tensors, Variables

Path = tuple[str, ...]
Shape = tuple[int, ...]
_AVERAGED = Ignored(AVERAGED, "the count of torch.optim.swa_utils.AveragedModel")
_OF_NAMES = ("missing ", "unexpected ")  # begin the problems that are not of shapes or types
_COMPARED = 100  # most names to compare with a missing one, as comparing strings is slow


def import_weights(name: str, tensors: Arrays, **hyper: object) -> Variables:
    """Convert a reference checkpoint's tensors to Flax variables.

    Args:
        name: one of ``vae_jax.MODELS``.
        tensors: the reference's names and arrays, as ``read_checkpoint`` returns them.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Returns:
        ``{"params": ..., "batch_stats": ...}`` of NumPy arrays that own their memory: float32 and
        float64 unchanged, half precisions as float32 (exact). A model without batch norm has no
        ``batch_stats``.

    Raises:
        CheckpointError: tensors are missing, unexpected, or have a wrong shape or dtype; one
            message lists them all. Tensors that ``ignored_tensors`` lists are left out.
        UserError: the model or a hyperparameter does not exist.
    """
    rules, shapes = _rules_and_shapes(name, **hyper)
    found = _needed(name, tensors)
    problems = _problems(rules, shapes, found)
    if problems:
        raise CheckpointError(_explain(name, problems, found))
    leaves = {
        rule.target: _leaf(rule.to_target(found[rule.source]))
        if rule.source in found
        else np.asarray(rule.default, np.int64)
        for rule in rules
    }
    return cast("Variables", flax.traverse_util.unflatten_dict(leaves))


def require_names(name: str, tensors: Arrays, **hyper: object) -> None:
    """Check that a checkpoint's names are a model's, whatever the shapes are.

    Raises:
        CheckpointError: as in ``import_weights``.
    """
    rules, shapes = _rules_and_shapes(name, **hyper)
    found = _needed(name, tensors)
    problems = _problems(rules, shapes, found)
    if any(problem.startswith(_OF_NAMES) for problem in problems):
        raise CheckpointError(_explain(name, problems, found))


def ignored_tensors(name: str, names: Iterable[str]) -> dict[str, str]:
    """Return a checkpoint's tensors that the model does not need, each with the reason."""
    table = (*get_spec(name).reference.ignored, _AVERAGED)
    return {
        tensor: entry.reason
        for tensor in names
        for entry in table
        if re.fullmatch(entry.pattern, tensor)
    }


def require_finite(name: str, variables: Variables, **hyper: object) -> None:
    """Check that all numbers of a model's variables are finite.

    Raises:
        CheckpointError: some are not; it names their tensors by the reference's names.
    """
    leaves, wrong = flat_leaves(variables), list[str]()
    for rule in rules_of(name, **hyper):
        array = leaves[rule.target]
        if count := array.size - int(np.isfinite(array).sum()):
            wrong.append(f"{rule.source} ({count} of {array.size} numbers)")
    if wrong:
        raise CheckpointError(
            f"its weights are not finite: {few(wrong, ', ')}: expected numbers; take a "
            "checkpoint from before the training diverged"
        )


def export_weights(name: str, variables: Variables, **hyper: object) -> Tensors:
    """Convert Flax variables to the reference's tensors: the exact inverse of ``import_weights``.

    Raises:
        CheckpointError: a leaf is missing, unexpected or has a wrong shape.
        UserError: the model or a hyperparameter does not exist.
    """
    rules, shapes = _rules_and_shapes(name, **hyper)
    leaves = flat_leaves(variables)
    wrong = [f"missing {'/'.join(p)}" for p in shapes if p not in leaves]
    wrong += [f"unexpected {'/'.join(p)}" for p in leaves if p not in shapes]
    wrong += [
        f"{'/'.join(p)} is {leaves[p].shape}, expected {shape}"
        for p, shape in shapes.items()
        if p in leaves and leaves[p].shape != shape
    ]
    if wrong:
        raise CheckpointError(f"these variables are not {name}'s: {few(wrong)}")
    return export_leaves(rules, leaves)


def export_leaves(rules: tuple[Rule, ...], leaves: Mapping[Path, np.ndarray]) -> Tensors:
    """Convert leaves such as gradients and moments to the reference's names and layouts."""
    tensors: Tensors = {}
    for rule in rules:
        if rule.target in leaves:
            array = leaves[rule.target]
            # A counter is int64 in PyTorch, but int32 in JAX without 64-bit types.
            dtype = array.dtype if rule.default is None else np.int64
            tensors[rule.source] = np.array(rule.to_source(array), dtype, order="C")
    return tensors


def flat_leaves(tree: Mapping[str, object]) -> dict[Path, np.ndarray]:
    """Return the leaves of a variable tree by path, as NumPy arrays."""
    flat = cast("dict[Path, object]", flax.traverse_util.flatten_dict(dict(tree)))
    return {path: np.asarray(leaf) for path, leaf in flat.items()}


def rules_of(name: str, **hyper: object) -> tuple[Rule, ...]:
    """Return the rules of a model, one per tensor of its reference."""
    return get_spec(name).rules(create_model(name, **hyper))


def source_shapes(name: str, **hyper: object) -> dict[str, Shape]:
    """Return the shape of each tensor of a model's reference, in the reference's order."""
    rules, shapes = _rules_and_shapes(name, **hyper)
    return {rule.source: _source_shape(rule, shapes[rule.target]) for rule in rules}


def _rules_and_shapes(name: str, **hyper: object) -> tuple[tuple[Rule, ...], dict[Path, Shape]]:
    """Return the rules, and the shape of every leaf as Flax initialises it."""
    model = create_model(name, **hyper)
    rules, shapes = get_spec(name).rules(model), variable_shapes(model)
    targets = [rule.target for rule in rules]
    if sorted(targets) != sorted(shapes):  # a bug in the model's file
        raise AssertionError(
            f"{name}'s rules and its variables differ: {set(targets) ^ set(shapes)}"
        )
    return rules, shapes


def _needed(name: str, tensors: Arrays) -> Tensors:
    """Return the tensors that a model needs, without the prefixes of wrappers."""
    found = {new: np.asarray(tensors[old]) for old, new in strip_wrappers(tensors).items()}
    ignored = ignored_tensors(name, found)
    return {tensor: array for tensor, array in found.items() if tensor not in ignored}


def _problems(rules: tuple[Rule, ...], shapes: Mapping[Path, Shape], found: Tensors) -> list[str]:
    expected = {rule.source: rule for rule in rules}
    absent = [r.source for r in rules if r.source not in found and r.default is None]
    extra = [name for name in found if name not in expected]
    problems: list[str] = []
    for name in absent:
        near = difflib.get_close_matches(name, extra[:_COMPARED], 1)
        problems.append(f"missing {name}" + (f" (the file has {near[0]})" if near else ""))
    problems += [f"unexpected {name} {found[name].shape}" for name in extra]
    for name, rule in expected.items():
        if name not in found:
            continue
        array, shape = found[name], _source_shape(rule, shapes[rule.target])
        if array.shape != shape:
            problems.append(f"{name} is {array.shape}, expected {shape}")
        elif not _fits(rule, array.dtype):
            kind = "an integer" if rule.default is not None else "floating point"
            problems.append(f"{name} is {array.dtype}, expected {kind}")
    return problems


def _source_shape(rule: Rule, shape: Shape) -> Shape:
    return rule.to_source(np.broadcast_to(np.int8(0), shape)).shape


def _fits(rule: Rule, dtype: np.dtype) -> bool:
    wanted = jnp.integer if rule.default is not None else jnp.floating
    return jnp.issubdtype(dtype, wanted)


def _leaf(array: np.ndarray) -> np.ndarray:
    """Return a copy that owns its memory, with float16 and narrower types widened to float32."""
    dtype = array.dtype
    if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
        dtype = np.dtype(np.float32)
    return np.array(array, dtype=dtype.newbyteorder("="), order="C")


def _explain(name: str, problems: list[str], found: Tensors) -> str:
    """Return a message that lists the problems, or names the model that the file fits."""
    for other in MODELS:
        sizes = read_sizes(other, found)
        if not found or _problems(*_rules_and_shapes(other, **sizes), found):
            continue
        if other != name:
            return (
                f"these are the weights of {other}, not of {name} "
                f"({len(found)} tensors with {other}'s names and shapes): use {other}"
            )
        flags = " ".join(f"{key}={format_hyperparameter(value)}" for key, value in sizes.items())
        remedy = f"give {flags} (on the command line --hyper)" if sizes else "give no sizes"
        return f"these are the weights of a {name} of another size: {remedy}; {few(problems)}"
    if not any(p.startswith(_OF_NAMES) for p in problems):
        return (
            f"the names are {name}'s, but the shapes or types are not (other hyperparameters, or "
            f"files of two models?): {few(problems)}"
        )
    matched = len(found) - sum(p.startswith("unexpected") for p in problems)
    return (
        f"this is not a {name} checkpoint: {matched} of its {len(found)} tensors have {name}'s "
        f"names; {few(problems)}"
    )


def read_sizes(name: str, found: Tensors) -> dict[str, object]:
    """Infer the hyperparameters that differ from the defaults from tensor names and shapes."""
    spec, defaults = get_spec(name), get_spec(name).hyperparameters()
    if spec.reference.infer is not None:
        sizes = spec.reference.infer(found)
    else:
        known = spec.reference.sizes.items()
        sizes = {key: found[tensor].size for key, tensor in known if tensor in found}
    return {key: size for key, size in sizes.items() if size and size != defaults[key]}


def few(listed: list[str], between: str = "; ", limit: int = 12) -> str:
    """Return the first of the listed texts, and how many follow."""
    text = between.join(listed[:limit])
    return text if len(listed) <= limit else f"{text}{between}and {len(listed) - limit} more"
