"""Read and write training checkpoints, a model with its Adam state, of the original's framework.

PyTorch's is one file, ``{"model": ..., "optimizer": ..., "epoch": ...}``; Paddle has a ``.pdopt``
beside each ``.pdparams``; TensorFlow's ``Saver`` puts everything in one checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vae_jax.convert.errors import reading, writing
from vae_jax.convert.files import NewFile, compare_arrays, plain_arrays, replace_files
from vae_jax.convert.model_tensors import read_model_tensors
from vae_jax.convert.optimizer import (
    AdamState,
    cannot_continue,
    parameter_shapes,
    require_moments,
)
from vae_jax.convert.paddle.optimizer import (
    SUFFIX,
    find_paddle_adam,
    paddle_names,
    paddle_state,
)
from vae_jax.convert.paddle.pdparams import write_pdparams
from vae_jax.convert.parts import split_parts
from vae_jax.convert.plain import is_array, is_dict, is_list, items_of
from vae_jax.convert.read import read_parameter_names, read_root
from vae_jax.convert.tensorflow.checkpoint import checkpoint_prefix, read_tensorflow
from vae_jax.convert.tensorflow.optimizer import find_tf_adam, tf_variables
from vae_jax.convert.tensorflow.write import write_tensorflow
from vae_jax.convert.tensors import Tensor
from vae_jax.convert.torch.optimizer import find_torch_adam, has_optimizer, torch_checkpoint
from vae_jax.convert.torch.write import torch_tensors
from vae_jax.convert.write import check_tensors
from vae_jax.errors import CheckpointError
from vae_jax.models import get_spec
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

_Keys = tuple[object, ...]
SUFFIXES: dict[str, tuple[str, ...]] = {
    "PyTorch": (".pth", ".pt"),
    "Paddle": (".pdparams",),
    "TensorFlow": (".index",),
}
"""The suffixes of each framework's files that can hold an optimiser or have one beside them."""


def read_adam(
    name: str,
    paths: Sequence[Path],
    recipe: Recipe,
    *,
    key: str | None = None,
    decay_is_given: bool = False,
    **hyper: object,
) -> AdamState | None:
    """Read the Adam state in or beside a model's reference checkpoint.

    Args:
        name: one of ``vae_jax.MODELS``.
        paths: the checkpoint's file or TensorFlow prefix; or the files of the model's parts.
        recipe: gives the betas, which Paddle and TensorFlow do not store.
        key: the dotted path of the weights in a file that holds several sets.
        decay_is_given: whether the user chose the recipe's weight decay.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Returns:
        The state; None if there is none.

    Raises:
        CheckpointError: training cannot be continued from the state.
    """
    adam = _find_adam(name, paths, recipe, key, decay_is_given, hyper)
    if adam is not None:
        with reading(paths[0]):
            require_moments(name, adam, **hyper)
    return adam


def _find_adam(
    name: str,
    paths: Sequence[Path],
    recipe: Recipe,
    key: str | None,
    decay_is_given: bool,
    hyper: Mapping[str, object],
) -> AdamState | None:
    shapes, path = parameter_shapes(name, **hyper), paths[0]
    if checkpoint_prefix(path) is not None:
        variables = read_tensorflow(path)
        with reading(path):
            return find_tf_adam(variables, shapes, recipe)
    if path.suffix == ".pdparams":
        parts = get_spec(name).reference.parts if len(paths) > 1 else ()
        prefixes = [f"{part}." for part in parts] or [""]
        return find_paddle_adam(dict(zip(prefixes, paths, strict=True)), shapes, recipe)
    if len(paths) > 1:
        return None
    found = read_model_tensors(path, key=key)
    with reading(path):
        root = read_root(path)
        # The optimiser numbers the parameters in the order of the file's own state dict.
        order = {n: shapes[n] for n in found.tensors if n in shapes}
        if found.folded and has_optimizer(root):
            raise cannot_continue(
                "its optimiser's moments are those of weight_norm or spectral_norm",
                "moments of the weights",
            )
        return find_torch_adam(root, order, decay_is_given=decay_is_given)


def write_with_adam(
    name: str,
    files: Sequence[Path],
    tensors: Tensors,
    adam: AdamState,
    recipe: Recipe,
    epoch: int | None,
) -> list[Path]:
    """Write a model and its Adam state in the format that its original saves and loads.

    Args:
        name: one of ``vae_jax.MODELS``.
        files: PyTorch's file, TensorFlow's ``.index``, or the ``.pdparams`` of each Paddle part.
        tensors: the model's weights, from ``export_weights``.
        adam: the state, from ``export_adam``.
        recipe: Adam's settings.
        epoch: epochs trained; only PyTorch's file stores it.

    Returns:
        All files written, as ``files_with_adam`` lists them.

    Raises:
        CheckpointError: the original's Adam lacks a setting of the recipe, or a file cannot be
            written; existing files are left unchanged.
        MissingExtraError: the framework that writes such files is not installed.
    """
    framework = get_spec(name).reference.framework
    _check_recipe(framework, recipe)
    if framework == "TensorFlow":
        variables = tensors | tf_variables(adam, recipe)
        write_tensorflow(str(files[0]).removesuffix(".index"), variables)
    elif framework == "PyTorch":
        replace_files([_torch_file(files[0], tensors, adam, recipe, epoch)])
    else:
        replace_files(_paddle_files(files, tensors, adam, recipe))
    return files_with_adam(name, files)


def files_with_adam(name: str, files: Sequence[Path]) -> list[Path]:
    """Return the files that ``write_with_adam`` writes; Paddle's optimisers have their own."""
    if get_spec(name).reference.framework != "Paddle":
        return list(files)
    return [*files, *(path.with_suffix(SUFFIX) for path in files)]


def _check_recipe(framework: str, recipe: Recipe) -> None:
    scaling = "tensorflow" if framework == "TensorFlow" else "torch"
    if recipe.epsilon_scaling != scaling:
        raise CheckpointError(
            f"the run's epsilon_scaling is {recipe.epsilon_scaling}, but {framework}'s Adam only "
            f"has {scaling}: it cannot continue the run; leave out --optimizer"
        )
    if framework == "TensorFlow" and recipe.weight_decay:
        raise CheckpointError(
            f"the run's weight_decay is {recipe.weight_decay}, but TensorFlow's AdamOptimizer has "
            "none: it cannot continue the run; leave out --optimizer"
        )


def _torch_file(
    path: Path, tensors: Tensors, adam: AdamState, recipe: Recipe, epoch: int | None
) -> NewFile:
    with writing(path):
        torch, tensor = torch_tensors()
    dummy = torch.optim.Adam(  # to get a group with every setting of the installed PyTorch
        [torch.nn.Parameter(torch.zeros(1))],
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
    )
    group = dummy.state_dict()["param_groups"][0]
    content = torch_checkpoint(plain_arrays(tensors), adam, group, epoch)

    def check(draft: Path) -> None:
        found, expected = _flat(read_root(draft)), _flat(content)
        arrays = {k: v for k, v in expected.items() if is_array(v)}
        compare_arrays({k: v for k, v in found.items() if is_array(v)}, arrays)
        if any(found.get(k) != v for k, v in expected.items() if k not in arrays):
            raise CheckpointError("was read back with other settings than written: not replaced")

    return NewFile(path, partial(torch.save, _map(content, tensor)), check)


def _paddle_files(
    files: Sequence[Path], tensors: Tensors, adam: AdamState, recipe: Recipe
) -> list[NewFile]:
    parts = split_parts(tensors)
    names = paddle_names(tensors)
    found: list[NewFile] = []
    for path, (part, weights) in zip(files, parts.items(), strict=True):
        table = {name: names[f"{part}.{name}"] for name in weights}
        state = paddle_state(adam, names, recipe, f"{part}.")
        found += [
            _paddle_file(path, weights, table),
            _paddle_file(path.with_suffix(SUFFIX), state, {name: name for name in state}),
        ]
    return found


def _paddle_file(path: Path, tensors: Tensors, names: Mapping[str, str]) -> NewFile:
    arrays = plain_arrays(tensors)

    def check(draft: Path) -> None:
        check_tensors(draft, arrays)
        if read_parameter_names(draft) != names:
            raise CheckpointError("was read back with different names than written: not replaced")

    return NewFile(path, partial(write_pdparams, arrays, names=names), check)


def _map(value: object, tensor: Callable[[np.ndarray], object]) -> object:
    """Return the same containers with arrays converted to tensors."""
    if is_dict(value):
        return {key: _map(item, tensor) for key, item in value.items()}
    if is_list(value):
        return [_map(item, tensor) for item in value]
    return tensor(value) if is_array(value) else value


def _flat(value: object, path: _Keys = ()) -> dict[_Keys, object]:
    """Return the leaves of dicts and lists by path, tensors as arrays."""
    if is_dict(value) or is_list(value):
        return {k: v for key, item in items_of(value) for k, v in _flat(item, (*path, key)).items()}
    return {path: value.array() if isinstance(value, Tensor) else value}
