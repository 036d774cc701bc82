"""The live originals by model; a framework is imported when its original is asked for."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from vae_jax.models import get_spec
from vae_jax.typing import Tensors

# framework -> the module beside this, and its class
_HOMES = {
    "PyTorch": ("pytorch", "TorchReference"),
    "Paddle": ("paddle", "PaddleReference"),
    "TensorFlow": ("tensorflow", "TensorFlowReference"),
}


def create_reference(
    name: str, precision: Any, tensors: Tensors | None = None, seed: int = 0, **hyper: Any
) -> Any:
    """The original of a model, driven with NumPy arrays.

    Args:
        name: one of ``vae_jax.MODELS``.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: weights to load; default: the framework's own initialisation from ``seed``.
        seed: of that initialisation.
        **hyper: the model's hyperparameters where they differ from the tutorial's.

    Returns:
        A side, as ``parity/observe.py`` says, whose probes are (image, noise, label).

    Raises:
        MissingExtraError: the framework is not installed.
    """
    module, kind = _home(name)
    return getattr(module, kind)(name, precision, tensors, seed, **hyper)


def versions(name: str) -> str:
    """The framework of a model's original, with its version."""
    return _home(name)[0].versions()


def _home(name: str) -> tuple[ModuleType, str]:
    module, kind = _HOMES[get_spec(name).reference.framework]
    return importlib.import_module(f"vae_jax.parity.{module}"), kind
