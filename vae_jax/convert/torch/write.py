"""Write PyTorch files with PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import BinaryIO

import numpy as np

from vae_jax.convert.tensors import DTYPES
from vae_jax.errors import MissingExtraError


def save_state_dict(arrays: Mapping[str, np.ndarray]) -> Callable[[BinaryIO], None]:
    """Return a function that saves named arrays as a state dict.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    torch, tensor = torch_tensors()
    return lambda file: torch.save(
        OrderedDict((name, tensor(array)) for name, array in arrays.items()), file
    )


def torch_tensors() -> tuple[ModuleType, Callable[[np.ndarray], object]]:
    """Return PyTorch, and a function that converts an array to a tensor bit for bit.

    Raises:
        MissingExtraError: PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "torch", "writing a .pth file") from error

    torch_dtypes = {dtype: getattr(torch, name) for name, dtype in DTYPES.items()}

    def tensor(array: np.ndarray) -> torch.Tensor:
        # Copy, because PyTorch warns about read-only arrays and cannot save two dtypes that share
        # memory. It does not know ml_dtypes: they are copied as integers and viewed as the dtype.
        plain = array.copy()
        if plain.dtype.type.__module__ != "numpy":
            plain = plain.view(f"u{plain.dtype.itemsize}")
        return torch.as_tensor(plain).view(torch_dtypes[array.dtype])

    return torch, tensor
