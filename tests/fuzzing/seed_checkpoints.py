"""Real checkpoints to begin with, of a few kilobytes each, by the format's own library or writer.

Nothing is imported that is not needed for the files that are asked for.
"""

from __future__ import annotations

import io
import json
import pickle
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

Case = dict[str, bytes]
"""File name to bytes."""

WEIGHTS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "bias": np.linspace(-1, 1, 3).astype(np.float32),
}
SHAPES = {name: array.shape for name, array in WEIGHTS.items()}
TENSORS = WEIGHTS | {
    "layer.count": np.arange(3),
    "layer.mask": np.array([[True], [False]]),
    "half": np.ones((2, 2), np.float16),
}
_PADDLE_NAMES = {"weight": "linear_0.w_0", "bias": "linear_0.b_0"}
# Adam's powers of its betas after seven steps, as Paddle and TensorFlow keep them.
_POWERS = [np.multiply.accumulate(np.full(8, beta, np.float32))[-1] for beta in (0.9, 0.999)]


def read_folder(folder: Path) -> Case:
    """Read all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def written(name: str, tensors: Mapping[str, np.ndarray] = TENSORS) -> list[Case]:
    """Return what ``write_checkpoint`` writes under a name, all files of it."""
    from vae_jax.convert import write_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder) / name, tensors)
        return [read_folder(Path(folder))]


def npz_files() -> list[Case]:
    """Return NumPy's files, plain and compressed."""
    cases: list[Case] = []
    for save in (np.savez, np.savez_compressed):
        save(buffer := io.BytesIO(), **TENSORS)
        cases.append({"a.npz": buffer.getvalue()})
    return cases


def torch_files(**options: Any) -> list[Case]:
    """Return PyTorch's files of a state dict, of NumPy arrays and of a training checkpoint."""
    arrays = {"model": WEIGHTS, "names": np.array(["a"]), "best": np.float64(0.5)}
    return [
        {"a.pth": _save(_state_dict(TENSORS), **options)},
        {"a.pth": _save(arrays, **options)},
        *torch_training(**options),
    ]


def shards() -> list[Case]:
    """Return an index of two files of tensors, with them."""
    names = ["a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors"]
    pairs = zip(names, WEIGHTS.items(), strict=True)
    (one,), (two,) = [written(file, {name: array}) for file, (name, array) in pairs]
    table = dict(zip(WEIGHTS, names, strict=True))
    index = json.dumps({"metadata": {}, "weight_map": table}).encode()
    return [{"a.index.json": index, **one, **two}]


def torch_training(**options: Any) -> list[Case]:
    """Return a training checkpoint of a layer and its Adam after one step."""
    import torch

    layer = torch.nn.Linear(4, 3)
    layer.load_state_dict(_state_dict(WEIGHTS))
    adam = torch.optim.Adam(layer.parameters())
    layer(torch.ones(2, 4)).sum().backward()
    adam.step()
    content = {"model": layer.state_dict(), "optimizer": adam.state_dict(), "epoch": 3}
    return [{"a.pth": _save(content, **options)}]


def torchscript() -> list[Case]:
    """Return a TorchScript archive of a module in a module."""
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    module[0].load_state_dict(_state_dict(WEIGHTS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit itself is deprecated
        torch.jit.save(torch.jit.script(module), buffer := io.BytesIO())
    return [{"a.pt": buffer.getvalue()}]


def _state_dict(tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(array) for name, array in tensors.items()}


def _save(content: Any, **options: Any) -> bytes:
    import torch

    torch.save(content, buffer := io.BytesIO(), **options)
    return buffer.getvalue()


def paddle_files() -> list[Case]:
    """Return Paddle's files with and without its table of names, and by older protocols."""
    pieces = {"big@@.0": TENSORS["bias"], "big@@.1": TENSORS["bias"]}
    table = {"big": {"OriginShape": (2, 3), "slices": ["big@@.0", "big@@.1"]}}
    cut = OrderedDict({"UnpackBigParamInfor@@": table, **pieces, **WEIGHTS})
    return [
        {"a.pdparams": pickle.dumps(TENSORS, 4)},
        {"a.pdparams": _paddle_weights()},
        *({"a.pdparams": pickle.dumps(cut, protocol)} for protocol in (2, 3, 5)),
    ]


def paddle_training() -> list[Case]:
    """Return weights with the state of their Adam beside them."""
    state = {}
    for name, internal in _PADDLE_NAMES.items():
        state[f"{internal}_moment1_0"] = WEIGHTS[name]
        state[f"{internal}_moment2_0"] = WEIGHTS[name] ** 2
        for number, power in enumerate(_POWERS, 1):
            state[f"{internal}_beta{number}_pow_acc_0"] = power.reshape(1)
    return [{"a.pdparams": _paddle_weights(), "a.pdopt": pickle.dumps(state, 4)}]


def _paddle_weights() -> bytes:
    return pickle.dumps(WEIGHTS | {"StructuredToParameterName@@": _PADDLE_NAMES}, 4)


def tensorflow_files() -> list[Case]:
    """Return a checkpoint with the slots of Adam, and the file that names the latest one."""
    adam = {f"{name}/Adam": array for name, array in WEIGHTS.items()}
    adam |= {f"{name}/Adam_1": array**2 for name, array in WEIGHTS.items()}
    adam |= {f"beta{number}_power": power.reshape(()) for number, power in enumerate(_POWERS, 1)}
    (case,) = written("a.index", TENSORS | adam)
    return [case | {"checkpoint": b'model_checkpoint_path: "a"\nall_model_checkpoint_paths: "a"\n'}]
