"""Read the state of ``torch.optim.Adam`` from a training checkpoint without PyTorch, and build it.

The state dict numbers the parameters in the order in which the optimiser got them, which is that of
``model.parameters()`` and of the file's state dict.

Source: ``torch/optim/optimizer.py`` and ``adam.py`` define the layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from vae_jax.convert.names import strip_wrappers
from vae_jax.convert.optimizer import AdamState, cannot_continue, check_adam
from vae_jax.convert.plain import PlainDict, is_dict, is_list, is_tuple, items_of
from vae_jax.convert.state_dicts import MAX_DEPTH, MAX_DICTS, MAX_LISTED
from vae_jax.convert.tensors import Tensor
from vae_jax.errors import CheckpointError

SETTINGS = ("lr", "betas", "eps", "weight_decay")
_VARIANTS = ("amsgrad", "maximize", "decoupled_weight_decay")
_MOMENTS = ("exp_avg", "exp_avg_sq")


def find_torch_adam(root: object, shapes: Mapping[str, tuple[int, ...]]) -> AdamState | None:
    """Find the Adam state in a training checkpoint.

    Args:
        root: the file's contents.
        shapes: the shapes of the model's parameters, in the order of the file's state dict.

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
            fits[path] = _adam(state, shapes)
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
    epoch = _number(root.get("epoch")) if is_dict(root) else None
    whole = int(epoch) if epoch is not None and epoch == int(epoch) else None
    return next((adam._replace(epoch=whole) for adam in fits.values()), None)


def torch_checkpoint(
    weights: Mapping[str, np.ndarray], adam: AdamState, group: Mapping[str, object], epoch: int
) -> dict[str, object]:
    """Build a training checkpoint of a model and its Adam state, with arrays instead of tensors.

    Args:
        weights: the model's state dict.
        adam: the moments, in the order of the model's parameters.
        group: the settings of the optimiser's only group.
        epoch: epochs trained.
    """
    step = np.asarray(adam.step, np.float32)  # the dtype that PyTorch uses
    state = {
        index: {"step": step, "exp_avg": adam.exp_avg[name], "exp_avg_sq": adam.exp_avg_sq[name]}
        for index, name in enumerate(adam.exp_avg)
    }
    groups = [{**group, "params": list(state)}]
    optimizer = {"state": state, "param_groups": groups}
    return {"model": dict(weights), "optimizer": optimizer, "epoch": epoch}


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


def _adam(found: PlainDict, shapes: Mapping[str, tuple[int, ...]]) -> AdamState:
    state, groups = found["state"], found["param_groups"]
    if not (is_dict(state) and is_list(groups) and groups):
        raise cannot_continue("its optimiser's state is damaged", "what torch.optim.Adam saves")
    dicts = [group for group in groups if is_dict(group)]
    params = [listed for group in dicts if is_list(listed := group.get("params"))]
    if len(params) < len(groups):
        raise cannot_continue("its optimiser's param_groups are damaged", "dicts with params")
    settings = _settings(dicts)
    numbers = [number for listed in params for number in listed]
    if not all(type(n) is int for n in numbers) or len(set(numbers)) < len(numbers):
        raise cannot_continue("its optimiser's parameters are not numbered", "integers, each once")
    named = [name for group in dicts for _, name in items_of(group.get("param_names"))]
    texts = [name for name in named if type(name) is str]
    names = list(shapes)
    if len(texts) == len(named) == len(numbers):
        names = list(strip_wrappers(texts).values())  # made from model.named_parameters()
    if len(numbers) != len(names):
        raise cannot_continue(
            f"its optimiser has {len(numbers)} parameters", f"the model's {len(names)}"
        )
    if unknown := [f"{key!r:.40}" for key in state if key not in set(numbers)]:
        raise cannot_continue(
            f"its optimiser holds a state of parameter {unknown[0]}", "those of its param_groups"
        )
    moments: dict[str, dict[str, np.ndarray]] = {moment: {} for moment in _MOMENTS}
    steps: set[int] = set()
    for number, name in zip(numbers, names, strict=True):
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
    adam = AdamState(steps.pop(), moments["exp_avg"], moments["exp_avg_sq"], settings)
    check_adam(adam, shapes)
    return adam


def _settings(groups: list[PlainDict]) -> dict[str, float]:
    """Return the settings that all groups share, as recipe fields."""
    first = groups[0]
    # RAdam's moments have the same names, but only Adam and AdamW have amsgrad.
    if missing := [key for key in (*SETTINGS, "amsgrad") if key not in first]:
        raise cannot_continue(
            f"its optimiser has no setting {missing[0]!r}: it is not Adam", "torch.optim.Adam"
        )
    values = [[_values(group.get(key)) for key in SETTINGS] for group in groups]
    flags = [[bool(group.get(key)) for key in _VARIANTS] for group in groups]
    if any(v != values[0] for v in values) or any(f != flags[0] for f in flags):
        pairs = zip(
            (*SETTINGS, *_VARIANTS),
            [*zip(*values, strict=True), *zip(*flags, strict=True)],
            strict=True,
        )
        differ = [key for key, found in pairs if any(value != found[0] for value in found)]
        raise cannot_continue(
            f"its optimiser has {len(groups)} param_groups of different {', '.join(differ)}",
            "the same settings for all parameters",
        )
    if [len(value) for value in values[0]] != [1, 2, 1, 1]:
        raise cannot_continue("its optimiser's settings are not numbers", "torch.optim.Adam's")
    (lr,), betas, (eps,), (decay,) = values[0]
    amsgrad, maximize, decoupled = flags[0]
    # Without weight decay, AdamW is Adam.
    used = {"amsgrad": amsgrad, "maximize": maximize}
    used["decoupled_weight_decay"] = decoupled and decay != 0
    for key, is_used in used.items():
        if is_used:
            what = " (AdamW)" if key.startswith("decoupled") else ""
            raise cannot_continue(f"its optimiser has {key}=True{what}", "plain Adam, without it")
    return {
        "learning_rate": lr,
        "beta1": betas[0],
        "beta2": betas[1],
        "epsilon": eps,
        "weight_decay": decay,
    }


def _entry(entry: object, name: str, moments: dict[str, dict[str, np.ndarray]]) -> int:
    """Add one parameter's moments to ``moments``, and return its step count."""
    expected = {"step", *_MOMENTS}
    if not is_dict(entry) or entry.keys() != expected:
        found = ", ".join(f"{key!s:.40}" for key in entry) if is_dict(entry) else "no dict"
        raise cannot_continue(
            f"its optimiser keeps {found:.200} of {name}: it is not plain Adam",
            "step, exp_avg, exp_avg_sq",
        )
    step = _number(entry["step"])
    if step is None or step != int(step):
        raise cannot_continue(f"its optimiser's step of {name} is not a whole number", "a count")
    for moment in _MOMENTS:
        tensor = entry[moment]
        if type(tensor) is not Tensor:
            raise cannot_continue(f"its {moment} of {name} is not a tensor", "Adam's moments")
        moments[moment][name] = tensor.array()
    return int(step)


def _values(value: object) -> tuple[float, ...]:
    """Return a setting's numbers, leaving out what is not a number."""
    numbers = map(_number, value if is_tuple(value) or is_list(value) else (value,))
    return tuple(number for number in numbers if number is not None)


def _number(stored: object) -> float | None:
    """Return a finite number that is stored directly or as a tensor of one element, or None."""
    value = stored
    if type(stored) is Tensor and math.prod(stored.shape) == 1 and stored.dtype.kind in "fiu":
        value = stored.array().reshape(()).item()
    if (type(value) is int or type(value) is float) and abs(value) < 1 << 63:  # nor NaN
        return float(value)
    return None
