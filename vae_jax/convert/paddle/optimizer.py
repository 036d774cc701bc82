"""Read the state of ``paddle.optimizer.Adam`` in ``.pdopt`` files without Paddle, and build it.

Such a file uses Paddle's internal parameter names (``conv2d_0.w_0``), which number a process's
layers in the order of their construction; the table in the ``.pdparams`` beside it maps
``conv1.weight`` to them. The file stores no betas, and the learning rate only where a scheduler
set it.

Source: ``paddle/optimizer/optimizer.py`` and ``adam.py`` define the names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from vae_jax.convert.beta_powers import power_after, steps_of
from vae_jax.convert.errors import reading
from vae_jax.convert.optimizer import AdamState, cannot_continue, check_adam
from vae_jax.convert.plain import is_dict
from vae_jax.convert.read import read_parameter_names, read_root
from vae_jax.convert.tensors import Tensor
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

SUFFIX = ".pdopt"
_SLOTS = {"moment1": "exp_avg", "moment2": "exp_avg_sq"}
_POWERS = ("beta1_pow_acc", "beta2_pow_acc")
# The last number distinguishes several optimisers of the same parameters in one process.
_KEY = re.compile(rf"(.+)_({'|'.join((*_SLOTS, *_POWERS))})_\d+", re.DOTALL)
_TRANSPOSED = ("decoder.conv2", "decoder.conv3")  # tutorial 004; all other layers are Conv2D


def find_paddle_adam(
    files: Mapping[str, Path], shapes: Mapping[str, tuple[int, ...]], recipe: Recipe
) -> AdamState | None:
    """Read the Adam state in the ``.pdopt`` files beside a model's ``.pdparams`` files.

    Args:
        files: the ``.pdparams`` files by the prefix of their names in the model (``encoder.``).
        shapes: the shapes of the model's parameters.
        recipe: the betas that the original was trained with.

    Returns:
        The state; None if there are no such files.

    Raises:
        CheckpointError: only some of the files exist, or training cannot be continued from them.
    """
    beside = {prefix: path.with_suffix(SUFFIX) for prefix, path in files.items()}
    there = [path for path in beside.values() if path.is_file()]
    if not there:
        return None
    moments: dict[str, Tensors] = {moment: {} for moment in _SLOTS.values()}
    counts: dict[Path, int] = {}
    rates: dict[Path, float | None] = {}
    for prefix, path in beside.items():
        with reading(path):
            if path not in there:
                raise cannot_continue(f"is missing, but {there[0].name} exists", "both, or neither")
            names = read_parameter_names(files[prefix])
            if not names:
                raise cannot_continue(
                    f"{files[prefix].name} has no table of Paddle's internal names, which its "
                    "moments need",
                    "a file that paddle.save wrote of layer.state_dict()",
                )
            known = {internal: f"{prefix}{name}" for name, internal in names.items()}
            root = read_root(path)
            powers = _read(root, known, moments)
            rates[path] = _learning_rate(root)
            betas = (recipe.beta1, recipe.beta2)
            counts[path] = steps_of(list(zip(betas, powers, strict=True)))
    with reading(there[-1]):
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{path.name} {steps}" for path, steps in counts.items())
            raise cannot_continue(
                f"has another step count than the other part's file ({listed})", "the same"
            )
        if len(set(rates.values())) > 1:
            listed = ", ".join(f"{path.name} {rate or 'none'}" for path, rate in rates.items())
            raise cannot_continue(
                f"has another learning rate than the other part's file ({listed})", "the same"
            )
        rate = rates[there[-1]]
        settings = {} if rate is None else {"learning_rate": rate}
        adam = AdamState(counts[there[-1]], moments["exp_avg"], moments["exp_avg_sq"], settings)
        check_adam(adam, shapes)
    return adam


def paddle_names(parameters: Iterable[str]) -> dict[str, str]:
    """Return Paddle's internal names of the tutorial's parameters.

    They assume a process that makes the encoder, then the decoder, and no layer before.

    >>> paddle_names(["encoder.conv1.weight", "encoder.conv1.bias", "decoder.conv2.bias"])
    {'encoder.conv1.weight': 'conv2d_0.w_0', 'encoder.conv1.bias': 'conv2d_0.b_0', \
'decoder.conv2.bias': 'conv2d_transpose_0.b_0'}
    """
    layers: dict[str, str] = {}
    counts = {"conv2d": 0, "conv2d_transpose": 0}
    found: dict[str, str] = {}
    for name in parameters:
        layer, _, kind = name.rpartition(".")
        if layer not in layers:
            base = "conv2d_transpose" if layer in _TRANSPOSED else "conv2d"
            layers[layer] = f"{base}_{counts[base]}"
            counts[base] += 1
        found[name] = f"{layers[layer]}.{kind[0]}_0"
    return found


def paddle_state(
    adam: AdamState, names: Mapping[str, str], recipe: Recipe, part: str = ""
) -> Tensors:
    """Return the arrays that ``set_state_dict`` of a part's Adam takes, by Paddle's names.

    Args:
        adam: the model's state.
        names: the parameters' internal names.
        recipe: the betas.
        part: the prefix of the part's parameters, such as ``encoder.``.
    """
    found: Tensors = {}
    powers = dict(zip(_POWERS, (recipe.beta1, recipe.beta2), strict=True))
    for name, moment in adam.exp_avg.items():
        if name.startswith(part):
            found[f"{names[name]}_moment1_0"] = moment
            found[f"{names[name]}_moment2_0"] = adam.exp_avg_sq[name]
            for power, beta in powers.items():
                value = power_after(adam.step, beta, moment.dtype)
                found[f"{names[name]}_{power}_0"] = value.reshape(1)
    return found


def _learning_rate(root: object) -> float | None:
    """Return the learning rate that a scheduler set last; None if there is no scheduler."""
    if not is_dict(root) or "LR_Scheduler" not in root:
        return None
    state = root["LR_Scheduler"]
    rate = state.get("last_lr") if is_dict(state) else None
    if type(rate) is Tensor and rate.shape in ((), (1,)) and rate.dtype.kind in "fi":
        rate = rate.array().reshape(()).item()
    if not isinstance(rate, (int, float)) or not 0 <= rate < math.inf:
        raise cannot_continue(
            "holds LR_Scheduler without last_lr, the learning rate that it set", "a number"
        )
    return float(rate)


def _read(root: object, known: Mapping[str, str], moments: dict[str, Tensors]) -> list[np.ndarray]:
    """Add a file's moments to ``moments``, and return the powers of the betas, [] each."""
    if not is_dict(root):
        raise cannot_continue("holds no dict", "what paddle.save writes of opt.state_dict()")
    if root.get("master_weights"):
        raise cannot_continue("holds master_weights (mixed precision)", "moments of the weights")
    powers: dict[str, np.ndarray] = {}
    seen: set[tuple[str, str]] = set()
    for key, value in root.items():
        if key in ("LR_Scheduler", "master_weights"):
            continue
        found = _KEY.fullmatch(key) if type(key) is str else None
        if found is None or type(value) is not Tensor:
            raise cannot_continue(f"holds {key!r:.80}", "only the state of plain Adam")
        internal, kind = found[1], found[2]
        if internal not in known:
            raise cannot_continue(
                f"holds the state of {internal!r:.80}, which the .pdparams beside it does not have",
                "two files of the same process",
            )
        if (internal, kind) in seen:
            raise cannot_continue(f"holds {kind} of {internal!r:.80} twice", "one optimiser")
        seen.add((internal, kind))
        array = value.array()
        if kind in _SLOTS:
            moments[_SLOTS[kind]][known[internal]] = array
            continue
        if array.size != 1 or array.dtype.kind != "f":
            raise cannot_continue(f"has {key!r:.80} of shape {array.shape}", "one number")
        power = powers.setdefault(kind, array.reshape(()))
        if power != array.reshape(()):
            raise cannot_continue(f"has different {kind} for its parameters", "the same for all")
    if len(powers) < len(_POWERS):
        raise cannot_continue("holds no powers of the betas: it is not Adam's", "Adam's state")
    return [powers[kind] for kind in _POWERS]
