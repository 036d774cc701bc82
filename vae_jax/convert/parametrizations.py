"""Fold PyTorch's ``weight_norm`` and ``spectral_norm`` into the weights that they stand for.

A layer under ``weight_norm`` is saved as a direction v and lengths g: its weight is g v / |v|, the
length taken over every axis along which g has one number. A layer under ``spectral_norm`` is saved
as a weight and the two vectors of the power iteration: in evaluation its weight is divided by
u W v, W being the weight as a matrix whose rows are the output channels.

Source: ``torch/nn/utils/weight_norm.py``, ``spectral_norm.py`` and ``parametrizations.py`` define
the names and the formulas.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_jax.errors import CheckpointError
from vae_jax.typing import Tensors

_MOST_APART = 0.05  # 1 minus the cosine between a vector of the power iteration and its next
_NEW = r"(.*\.|)parametrizations\.(\w+)\."


class Folded(NamedTuple):
    """Tensors without parametrisations.

    Attributes:
        tensors: the tensors, with each folded weight under its layer's own name.
        weights: the names of the folded weights, by what they were under.
    """

    tensors: Tensors
    weights: dict[str, list[str]]


class _Form(NamedTuple):
    """A way to save a weight: what it is called, the tensors' endings, and the formula."""

    kind: str
    endings: tuple[str, ...]
    fold: Callable[..., np.ndarray]


def fold_parametrizations(tensors: Tensors) -> Folded:
    """Replace the tensors of every layer under ``weight_norm`` or ``spectral_norm`` by its weight.

    Raises:
        CheckpointError: a layer's tensors do not determine its weight.
    """
    found, weights = dict(tensors), dict[str, list[str]]()
    counts = Counter(match[0] for name in tensors if (match := re.match(_NEW, name)))
    for name in tensors:
        for form, beginning, weight in _forms(name):
            group = [beginning + ending for ending in form.endings]
            if not _are_real(tensors, group) or weight in found:
                continue
            if beginning in counts and counts[beginning] != len(group):  # one of several
                continue
            arrays = [np.asarray(tensors[source], np.float64) for source in group]
            kept = tensors[group[-1] if form.kind == "weight_norm" else group[0]].dtype
            with np.errstate(divide="ignore", invalid="ignore"):  # a length of 0 makes NaN
                array = form.fold(weight, *arrays)
            found[weight] = array.astype(kept if kept.itemsize >= 4 else np.float32)
            for source in group:
                del found[source]
            weights.setdefault(form.kind, []).append(weight)
            break
    return Folded(found, weights)


def _forms(name: str) -> list[tuple[_Form, str, str]]:
    """Return the forms whose first tensor may have this name, its beginning, and the weight."""
    if match := re.fullmatch(_NEW + r"original(0?)", name):
        beginning = name.removesuffix(f"original{match[3]}")
        return [(_NEW_WEIGHT if match[3] else _NEW_SPECTRAL, beginning, match[1] + match[2])]
    for form in (_OLD_WEIGHT, _OLD_SPECTRAL):
        if name.endswith(form.endings[0]):
            beginning = name.removesuffix(form.endings[0])
            return [(form, beginning, beginning)]
    return []


def _are_real(tensors: Tensors, group: list[str]) -> bool:
    return all(name in tensors and tensors[name].dtype.kind in "fV" for name in group)


def _weight_norm(weight: str, g: np.ndarray, v: np.ndarray) -> np.ndarray:
    if g.ndim and (g.ndim != v.ndim or any(n not in (1, m) for n, m in zip(g.shape, v.shape))):  # noqa: B905
        raise CheckpointError(
            f"its {weight} is under weight_norm, with g of shape {g.shape} and v of shape "
            f"{v.shape}: expected g of one number a slice of v; save the file again"
        )
    axes = tuple(axis for axis in range(v.ndim) if not g.ndim or g.shape[axis] == 1)
    return g * v / np.sqrt((v * v).sum(axes, keepdims=True))


def _spectral_norm(weight: str, full: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    fits: list[tuple[float, float]] = []  # how far the vectors are from an iteration's, and sigma
    for axis in range(min(full.ndim, 2 if full.ndim > 2 else 1)):  # 1 for transposed convolutions
        matrix = np.moveaxis(full, axis, 0).reshape(full.shape[axis], -1)
        if (u.shape, v.shape) == (matrix.shape[:1], matrix.shape[1:]):
            cosine = min(_cosine(u, matrix @ v), _cosine(v, u @ matrix))
            fits.append((1 - cosine, float(u @ matrix @ v)))
    fits.sort()
    is_clear = fits and (
        len({sigma for _, sigma in fits}) == 1
        or (fits[0][0] < _MOST_APART and fits[0][0] < fits[1][0] / 10)
    )
    if not is_clear:
        raise CheckpointError(
            f"its {weight} is under spectral_norm, whose vectors of shapes {u.shape} and {v.shape} "
            f"do not determine how it is a matrix: expected those of a weight of shape "
            f"{full.shape}; call torch.nn.utils.remove_spectral_norm or parametrize."
            "remove_parametrizations on the layer, and save again"
        )
    return full / fits[0][1]


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-300))


_OLD_WEIGHT = _Form("weight_norm", ("_g", "_v"), _weight_norm)
_NEW_WEIGHT = _Form("weight_norm", ("original0", "original1"), _weight_norm)
_OLD_SPECTRAL = _Form("spectral_norm", ("_orig", "_u", "_v"), _spectral_norm)
_NEW_SPECTRAL = _Form("spectral_norm", ("original", "0._u", "0._v"), _spectral_norm)
