"""Real files to begin with, of a few kilobytes each, by this package's own writers where it has
one and by the format's own library where it has not."""

from __future__ import annotations

import io
import pickle
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vae_jax.convert.optimizer import AdamState
from vae_jax.convert.paddle.optimizer import paddle_state
from vae_jax.convert.paddle.pdparams import write_pdparams
from vae_jax.convert.tensorflow.optimizer import tf_variables
from vae_jax.convert.torch.optimizer import torch_checkpoint
from vae_jax.convert.torch.write import torch_tensors
from vae_jax.convert.write import write_checkpoint
from vae_jax.recipe import Recipe

Case = dict[str, bytes]
"""File name to bytes."""

WEIGHTS = {
    "w": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.linspace(-1, 1, 3).astype(np.float32),
}
SHAPES = {name: array.shape for name, array in WEIGHTS.items()}
RECIPE = Recipe(data="digits", epochs=1, batch_size=1, learning_rate=1e-3)
ADAM = AdamState(7, dict(WEIGHTS), {name: array**2 for name, array in WEIGHTS.items()}, {})
PADDLE_NAMES = {"w": "linear_0.w_0", "b": "linear_0.b_0"}
TENSORS = WEIGHTS | {
    "layer.count": np.arange(3),
    "layer.mask": np.array([[True], [False]]),
    "half": np.ones((2, 2), np.float16),
}


def checkpoint_files(name: str, tensors: Mapping[str, Any] = TENSORS) -> Case:
    """What `write_checkpoint` writes under a name, all files of it."""
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder) / name, tensors)
        return read_folder(Path(folder))


def read_folder(folder: Path) -> Case:
    """All files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def saved_by_torch(value: Any, **options: Any) -> bytes:
    """What `torch.save` writes of containers of arrays."""
    torch, tensor = torch_tensors()

    def convert(part: Any) -> Any:
        if isinstance(part, dict):
            return type(part)((key, convert(item)) for key, item in part.items())
        if isinstance(part, list):
            return [convert(item) for item in part]
        return tensor(part) if isinstance(part, np.ndarray) else part

    torch.save(convert(value), buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def torch_training() -> dict[str, Any]:
    """A training checkpoint of PyTorch's layout."""
    group = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    group |= {"amsgrad": False, "maximize": False}
    return torch_checkpoint(WEIGHTS, ADAM, group, epoch=3)


def scripted() -> bytes:
    """A TorchScript archive of a module in a module."""
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit itself
        torch.jit.save(torch.jit.script(module), buffer := io.BytesIO())
    return buffer.getvalue()


def saved_by_paddle() -> list[Case]:
    """Paddle's files with and without its table of names, and by older protocols."""
    cases = [_paddle(TENSORS), _paddle(WEIGHTS, PADDLE_NAMES)]
    pieces = {"big@@.0": TENSORS["b"], "big@@.1": TENSORS["b"]}
    table = {"big": {"OriginShape": (2, 3), "slices": ["big@@.0", "big@@.1"]}}
    whole = OrderedDict({"UnpackBigParamInfor@@": table, **pieces, **WEIGHTS})
    cases += [{"a.pdparams": pickle.dumps(whole, protocol)} for protocol in (2, 3, 5)]
    return cases


def paddle_training() -> list[Case]:
    """Weights with the state of their Adam beside them."""
    state = paddle_state(ADAM, PADDLE_NAMES, RECIPE)
    beside = _paddle(state, {name: name for name in state})["a.pdparams"]
    return [_paddle(WEIGHTS, PADDLE_NAMES) | {"a.pdopt": beside}]


def _paddle(tensors: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Case:
    with tempfile.TemporaryFile() as file:
        write_pdparams(tensors, file, names)
        file.seek(0)
        return {"a.pdparams": file.read()}


def saved_by_tensorflow() -> list[Case]:
    """A checkpoint with the slots of Adam, and the file that names the latest one."""
    state = b'model_checkpoint_path: "a"\nall_model_checkpoint_paths: "a"\n'
    tensors = TENSORS | tf_variables(ADAM, RECIPE)
    return [checkpoint_files("a.index", tensors) | {"checkpoint": state}]
