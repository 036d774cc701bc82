"""Read the ``param_groups`` of ``torch.optim.Adam``: its settings, and which parameter is which.

The groups number the parameters in the order in which the optimiser got them. Only files of
PyTorch 2.6 and later can hold their names, and say whether the weight decay is AdamW's.

Source: ``torch/optim/optimizer.py``, ``adam.py`` and ``adamw.py`` define the layout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from vae_jax.convert.names import strip_wrappers
from vae_jax.convert.optimizer import cannot_continue
from vae_jax.convert.plain import PlainDict, is_dict, is_list, is_tuple, items_of
from vae_jax.convert.tensors import Tensor

SETTINGS = ("lr", "betas", "eps", "weight_decay")
_VARIANTS = ("amsgrad", "maximize", "decoupled_weight_decay")


class ParamGroups(NamedTuple):
    """What an optimiser's groups say.

    Attributes:
        settings: the settings that all groups share, as recipe fields.
        names: the parameters' names by number.
        remarks: lines for the user about how they were read.
    """

    settings: dict[str, float]
    names: dict[int, str]
    remarks: tuple[str, ...]


def read_param_groups(
    groups: list[object],
    state: PlainDict,
    shapes: Mapping[str, tuple[int, ...]],
    decay_is_given: bool,
) -> ParamGroups:
    """Read an optimiser's groups.

    Args:
        groups: the groups, unchecked.
        state: the optimiser's entries by parameter number, unchecked.
        shapes: the shapes of the model's parameters, in the order of the file's state dict.
        decay_is_given: whether the user chose the weight decay, which is then Adam's.

    Raises:
        CheckpointError: the optimiser is not Adam, or the parameters cannot be told apart.
    """
    dicts = [group for group in groups if is_dict(group)]
    params = [listed for group in dicts if is_list(listed := group.get("params"))]
    if len(params) < len(groups):
        raise cannot_continue("its optimiser's param_groups are damaged", "dicts with params")
    settings, remarks = _settings(dicts, decay_is_given)
    found = [number for listed in params for number in listed]
    numbers = [number for number in found if type(number) is int]
    if len(numbers) < len(found) or len(set(numbers)) < len(numbers):
        raise cannot_continue("its optimiser's parameters are not numbered", "integers, each once")
    named = [name for group in dicts for _, name in items_of(group.get("param_names"))]
    texts = [name for name in named if type(name) is str]
    names = list(shapes)
    is_named = len(texts) == len(named) == len(numbers)
    if is_named:
        names = list(strip_wrappers(texts).values())  # made from model.named_parameters()
    if len(numbers) != len(names):
        raise cannot_continue(
            f"its optimiser has {len(numbers)} parameters", f"the model's {len(names)}"
        )
    if len(groups) > 1 and not is_named:
        by_shape = _by_shape(numbers, state, shapes, len(groups))
        line = f"its {len(groups)} param_groups are matched to the model's parameters by shape"
        return ParamGroups(settings, by_shape, (*remarks, line))
    return ParamGroups(settings, dict(zip(numbers, names, strict=True)), remarks)


def _by_shape(
    numbers: list[int], state: PlainDict, shapes: Mapping[str, tuple[int, ...]], groups: int
) -> dict[int, str]:
    """Return the names by number; the order of several groups need not be the model's."""
    found = f"its optimiser has {groups} param_groups without names"
    owners: dict[tuple[int, ...], str] = {}
    for name, shape in shapes.items():
        if shape in owners:
            raise cannot_continue(
                f"{found}, and the moments of {owners[shape]} and {name}, of one shape, could be "
                "exchanged",
                "one group, or Adam(model.named_parameters()) in PyTorch 2.6 or later",
            )
        owners[shape] = name
    names: dict[int, str] = {}
    for number in numbers:
        entry = state.get(number)
        moment = entry.get("exp_avg") if is_dict(entry) else None
        if type(moment) is Tensor:
            if moment.shape not in owners:
                raise cannot_continue(
                    f"{found}, and moments of shape {moment.shape}", "the model's parameters"
                )
            names[number] = owners.pop(moment.shape)
    left = iter(owners.values())  # without moments, so that their order does not matter
    return {n: names[n] if n in names else next(left) for n in numbers}


def _settings(
    groups: list[PlainDict], decay_is_given: bool
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the settings that all groups share, as recipe fields, and remarks."""
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
    if decay != 0 and any("decoupled_weight_decay" not in group for group in groups):
        _require_adam(first, decay, decay_is_given)
    remarks: tuple[str, ...] = ()
    began = _values(first.get("initial_lr"))
    if began and began != (lr,):
        remarks = (f"the file's learning_rate {lr:g} is its scheduler's; it began at {began[0]:g}",)
    settings = {"learning_rate": lr, "beta1": betas[0], "beta2": betas[1], "epsilon": eps}
    return settings | {"weight_decay": decay}, remarks


def _require_adam(group: PlainDict, decay: float, decay_is_given: bool) -> None:
    """Raise CheckpointError if a file of PyTorch before 2.6 is, or may be, AdamW's."""
    keys = list(group)
    # In PyTorch 1.12 to 2.5 AdamW stores foreach first. Adam stores maximize first, but so does an
    # AdamW that was loaded from an older file.
    if {"foreach", "maximize"} <= group.keys() and keys.index("foreach") < keys.index("maximize"):
        raise cannot_continue(
            f"its optimiser is AdamW, by the order of its settings, with weight_decay={decay:g}",
            "plain Adam",
        )
    if not decay_is_given:
        raise cannot_continue(
            f"its optimiser has weight_decay={decay:g} and, as a file of PyTorch before 2.6, does "
            "not say whether it is Adam or AdamW",
            f"Adam: if it was, give train --weight-decay {decay:g}; AdamW cannot be continued",
        )


def _values(value: object) -> tuple[float, ...]:
    """Return a setting's numbers, leaving out what is not a number."""
    numbers = map(number_of, value if is_tuple(value) or is_list(value) else (value,))
    return tuple(number for number in numbers if number is not None)


def number_of(stored: object) -> float | None:
    """Return a finite number that is stored directly or as a tensor of one element, or None."""
    value = stored
    if type(stored) is Tensor and math.prod(stored.shape) == 1 and stored.dtype.kind in "fiu":
        value = stored.array().reshape(()).item()
    if (type(value) is int or type(value) is float) and abs(value) < 1 << 63:  # nor NaN
        return float(value)
    return None
