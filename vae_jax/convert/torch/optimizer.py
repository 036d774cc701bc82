"""Read the state of ``torch.optim.Adam`` from a training checkpoint without PyTorch, and build it.

The state dict numbers the parameters in the order in which the optimiser got them, which is that of
``model.parameters()`` and of the file's state dict.

Source: ``torch/optim/optimizer.py`` and ``adam.py`` define the layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vae_jax.convert.optimizer import AdamState, cannot_continue, check_adam
from vae_jax.convert.plain import PlainDict, is_dict, is_list, items_of
from vae_jax.convert.state_dicts import MAX_DEPTH, MAX_DICTS, MAX_LISTED
from vae_jax.convert.tensors import Tensor
from vae_jax.convert.torch.param_groups import number_of, read_param_groups
from vae_jax.errors import CheckpointError

_MOMENTS = ("exp_avg", "exp_avg_sq")


def find_torch_adam(
    root: object, shapes: Mapping[str, tuple[int, ...]], *, decay_is_given: bool = False
) -> AdamState | None:
    """Find the Adam state in a training checkpoint.

    Args:
        root: the file's contents.
        shapes: the shapes of the model's parameters, in the order of the file's state dict.
        decay_is_given: whether the user chose the weight decay, which is then Adam's; files of
            PyTorch before 2.6 do not say whether it is AdamW's.

    Returns:
        The state, with moments that are read-only views of the file; None if the file has no
        optimiser.

    Raises:
        CheckpointError: no optimiser's state fits and can be continued, or several do.
    """
    states = dict(_optimizer_states(root))
    fits: dict[str, AdamState] = {}
    errors: list[CheckpointError] = []
    for path, state in states.items():
        try:
            fits[path] = _adam(state, shapes, decay_is_given)
        except CheckpointError as error:
            errors.append(error)
    if len(states) == 1 and errors:
        raise errors[0]
    if states and len(fits) != 1:
        listed = ", ".join(f"{path or '(root)'!r:.120}" for path in list(states)[:MAX_LISTED])
        raise cannot_continue(
            f"holds the states of {len(states)} optimisers ({listed}), of which {len(fits)} fit",
            "one that fits the model",
        )
    epoch = number_of(root.get("epoch")) if is_dict(root) else None
    whole = int(epoch) if epoch is not None and epoch == int(epoch) else None
    return next((adam._replace(epoch=whole) for adam in fits.values()), None)


def has_optimizer(root: object) -> bool:
    """Return whether a training checkpoint has the state of an optimiser."""
    return next(_optimizer_states(root), None) is not None


def torch_checkpoint(
    weights: Mapping[str, np.ndarray],
    adam: AdamState,
    group: Mapping[str, object],
    epoch: int | None,
) -> dict[str, object]:
    """Build a training checkpoint of a model and its Adam state, with arrays instead of tensors.

    Args:
        weights: the model's state dict, in the order of the model's parameters.
        adam: their moments.
        group: the settings of the optimiser's only group.
        epoch: epochs trained; None if that is unknown.
    """
    step = np.asarray(adam.step, np.float32)  # the dtype that PyTorch uses
    state = {
        index: {"step": step, "exp_avg": adam.exp_avg[name], "exp_avg_sq": adam.exp_avg_sq[name]}
        for index, name in enumerate(name for name in weights if name in adam.exp_avg)
    }
    groups = [{**group, "params": list(state)}]
    optimizer = {"state": state, "param_groups": groups}
    trained = {} if epoch is None else {"epoch": epoch}
    return {"model": dict(weights), "optimizer": optimizer, **trained}


def _optimizer_states(root: object) -> Iterator[tuple[str, PlainDict]]:
    """Yield each optimiser's state dict inside dicts and lists, with its dotted path."""
    waiting: list[tuple[str, object, int]] = [("", root, 0)]
    seen = {id(root)}
    while waiting:
        path, found, depth = waiting.pop(0)
        if is_dict(found) and {"state", "param_groups"} <= found.keys():
            yield path, found
            continue
        for key, value in items_of(found):
            if (is_dict(value) or is_list(value)) and id(value) not in seen and depth < MAX_DEPTH:
                if len(seen) > MAX_DICTS:
                    raise cannot_continue(f"holds over {MAX_DICTS} dicts and lists", "fewer")
                seen.add(id(value))
                text = f"{key!s:.200}"
                waiting.append((f"{path}.{text}" if path else text, value, depth + 1))


def _adam(
    found: PlainDict, shapes: Mapping[str, tuple[int, ...]], decay_is_given: bool
) -> AdamState:
    state, groups = found["state"], found["param_groups"]
    if not (is_dict(state) and is_list(groups) and groups):
        raise cannot_continue("its optimiser's state is damaged", "what torch.optim.Adam saves")
    settings, names, remarks = read_param_groups(groups, state, shapes, decay_is_given)
    if unknown := [f"{key!r:.40}" for key in state if key not in names]:
        raise cannot_continue(
            f"its optimiser holds a state of parameter {unknown[0]}", "those of its param_groups"
        )
    moments: dict[str, dict[str, np.ndarray]] = {moment: {} for moment in _MOMENTS}
    steps: set[int] = set()
    for number, name in names.items():
        if number in state:  # otherwise the parameter never had a gradient
            steps.add(_entry(state[number], name, moments))
    if not steps:
        raise cannot_continue(
            "its optimiser holds moments of no parameter (it took no step, or is plain SGD)",
            "Adam after a step or more",
        )
    if len(steps) > 1:
        listed = " and ".join(map(str, sorted(steps)[:4]))
        raise cannot_continue(
            f"its optimiser took {listed} steps on different parameters", "the same on all"
        )
    (step,) = steps
    adam = AdamState(step, moments["exp_avg"], moments["exp_avg_sq"], settings, remarks=remarks)
    check_adam(adam, shapes)
    return adam


def _entry(entry: object, name: str, moments: dict[str, dict[str, np.ndarray]]) -> int:
    """Add one parameter's moments to ``moments``, and return its step count."""
    expected = {"step", *_MOMENTS}
    if not is_dict(entry) or entry.keys() != expected:
        found = ", ".join(f"{key!s:.40}" for key in entry) if is_dict(entry) else "no dict"
        raise cannot_continue(
            f"its optimiser keeps {found:.200} of {name}: it is not plain Adam",
            "step, exp_avg, exp_avg_sq",
        )
    step = number_of(entry["step"])
    if step is None or step != int(step):
        raise cannot_continue(f"its optimiser's step of {name} is not a whole number", "a count")
    for moment in _MOMENTS:
        tensor = entry[moment]
        if type(tensor) is not Tensor:
            raise cannot_continue(f"its {moment} of {name} is not a tensor", "Adam's moments")
        moments[moment][name] = tensor.array()
    return int(step)
