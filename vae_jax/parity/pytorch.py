"""The PyTorch originals as sides of a comparison."""

from __future__ import annotations

from typing import Any

from vae_jax.parity.precision import precision_of
from vae_jax.parity.pytorch_models import RUNNERS, torch
from vae_jax.parity.torch_side import TorchSide
from vae_jax.typing import Tensors


class TorchReference(TorchSide):
    """A reference model with its optimiser, driven with NumPy arrays.

    Args:
        name: a model whose original is PyTorch's.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: weights to load; default: PyTorch's own initialisation from ``seed``.
        seed: of that initialisation.
        **hyper: the module's sizes where they differ from the tutorial's.
    """

    def __init__(
        self, name: str, precision: Any, tensors: Tensors | None = None, seed: int = 0, **hyper: Any
    ):
        runner = RUNNERS[name]
        torch.manual_seed(seed)
        super().__init__(
            runner.module(**hyper),
            lambda model, image, noise, label=None: runner.forward(model, image, noise),
            lambda model, image, noise, label=None: runner.loss(model, image, noise),
            _adam,
            precision_of(precision),
        )
        if tensors is not None:
            self.reset(tensors)


def versions() -> str:
    """The framework and its version, for a report's title."""
    return f"PyTorch {torch.__version__}"


def _adam(recipe: Any, parameters: Any) -> torch.optim.Optimizer:
    """The tutorial's optimiser."""
    return torch.optim.Adam(
        parameters,
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
    )
