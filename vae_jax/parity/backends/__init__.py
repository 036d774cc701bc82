"""What every backend can do, and the live originals by model.

A backend drives one implementation of a model with NumPy arrays, under its reference's tensor names
and layouts. A framework is imported when an original in it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.models import get_spec
from vae_jax.parity.precision import PrecisionLike
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

# framework -> the module beside this, and its class
_HOMES = {
    "PyTorch": ("pytorch", "TorchReference"),
    "Paddle": ("paddle", "PaddleReference"),
    "TensorFlow": ("tensorflow", "TensorFlowReference"),
}

Value = ArrayLike | float
"""A tensor or a loss. ``ArrayLike`` alone takes floats as complex, which run-time checks refuse."""
Input = np.ndarray | None
"""One array of a probe: for the package's models the image, the noise or the label."""


@runtime_checkable
class Backend(Protocol):
    """One implementation of a model with its optimiser.

    A probe is a batch of inputs; for the package's models these are image, noise and label.
    """

    def reset(self, tensors: Tensors) -> None:
        """Take weights and statistics, and forget the optimiser's state."""

    def state_dict(self) -> Tensors:
        """Return weights and statistics."""
        ...

    def trace(self, *probe: Input, train: bool = False) -> tuple[Tensors, Tensors]:
        """Return what goes into and comes out of each layer, and in eval mode the outputs.

        The layers come in the order of their calls. In train mode running statistics move.
        """
        ...

    def forward(self, *probe: Input) -> Tensors:
        """Return the outputs in eval mode."""
        return self.trace(*probe)[1]

    def backward(self, *probe: Input) -> tuple[dict[str, float], Tensors]:
        """Return the loss terms with the total, and every parameter's gradient, in train mode."""
        ...

    def step(self, recipe: Recipe, *probe: Input) -> dict[str, float]:
        """Take a step of the optimiser and return the loss terms before it.

        The optimiser is made with the recipe of the first step after a reset.
        """
        ...

    def moments(self) -> dict[str, Tensors]:
        """Return Adam's moments under PyTorch's names; nothing for another optimiser."""
        ...

    def updates(
        self, recipe: Recipe, start: np.ndarray, gradients: Iterable[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield a parameter after each of some given gradients: the optimiser by itself."""
        ...


def create_reference(
    name: str,
    precision: PrecisionLike,
    tensors: Tensors | None = None,
    seed: int = 0,
    **hyper: object,
) -> Any:
    """Create the backend of a model's original.

    Args:
        name: one of ``vae_jax.MODELS``.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: weights to load; default: the framework's own initialisation from ``seed``.
        seed: of that initialisation.
        **hyper: the model's hyperparameters where they differ from the tutorial's.

    Returns:
        A ``Backend``, with its framework's own methods beside, which no common type has.

    Raises:
        MissingExtraError: the framework is not installed.
    """
    module, kind = _home(name)
    return getattr(module, kind)(name, precision, tensors, seed, **hyper)


def versions(name: str) -> str:
    """Return the framework of a model's original, with its version."""
    return _home(name)[0].versions()


def _home(name: str) -> tuple[ModuleType, str]:
    module, kind = _HOMES[get_spec(name).reference.framework]
    return importlib.import_module(f"vae_jax.parity.backends.{module}"), kind
