"""A PyTorch original driven with NumPy arrays, under PyTorch's own tensor names."""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.parity.pytorch_models import RUNNERS, torch
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors


class TorchReference:
    """A reference model with its optimiser, driven with NumPy arrays.

    Args:
        name: one of ``vae_jax.MODELS``.
        dtype: ``np.float32`` or ``np.float64``.
        tensors: weights to load; default: PyTorch's own initialisation from ``seed``.
        seed: of that initialisation.
        **hyper: the module's sizes where they differ from the tutorial's.
    """

    def __init__(
        self, name: str, dtype, tensors: Tensors | None = None, seed: int = 0, **hyper: Any
    ):
        self.runner = RUNNERS[name]
        self.dtype = torch.float64 if np.dtype(dtype) == np.float64 else torch.float32
        torch.manual_seed(seed)
        self.model = self.runner.module(**hyper).to(self.dtype)
        if tensors is not None:
            self.model.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()})
        self.optimizer: torch.optim.Adam | None = None

    def state_dict(self) -> Tensors:
        """Weights and statistics."""
        return {k: v.detach().numpy().copy() for k, v in self.model.state_dict().items()}

    def forward(self, image, noise, label=None, *, train=False) -> dict[str, np.ndarray]:
        """The outputs, without gradients and (in eval mode) without touching the statistics."""
        self.model.train(train)
        with torch.no_grad():
            outputs = self.runner.forward(self.model, self._tensor(image), self._tensor(noise))
        return {k: v.numpy().copy() for k, v in outputs.items()}

    def backward(self, image, noise, label=None) -> tuple[dict[str, float], Tensors]:
        """Loss terms with the total, and every parameter's gradient, in train mode."""
        terms = self._backward(image, noise)
        return terms, {k: _grad(p).numpy().copy() for k, p in self.model.named_parameters()}

    def step(self, recipe: Recipe, image, noise, label=None) -> dict[str, float]:
        """One step of the tutorial's optimiser; its loss terms."""
        if self.optimizer is None:
            self.optimizer = torch.optim.Adam(
                self.model.parameters(),
                lr=recipe.learning_rate,
                betas=(recipe.beta1, recipe.beta2),
                eps=recipe.epsilon,
                weight_decay=recipe.weight_decay,
            )
        terms = self._backward(image, noise)
        self.optimizer.step()
        return terms

    def moments(self) -> dict[str, Tensors]:
        """Adam's ``exp_avg`` and ``exp_avg_sq`` by parameter name."""
        assert self.optimizer is not None, "no step taken yet"
        state = self.optimizer.state
        return {
            moment: {k: state[p][moment].numpy().copy() for k, p in self.model.named_parameters()}
            for moment in ("exp_avg", "exp_avg_sq")
        }

    def _backward(self, image, noise) -> dict[str, float]:
        self.model.train()
        self.model.zero_grad()
        terms = self.runner.loss(self.model, self._tensor(image), self._tensor(noise))
        loss = sum(terms.values())
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        return {k: float(v.detach()) for k, v in {"loss": loss, **terms}.items()}

    def _tensor(self, array: Any):
        return None if array is None else torch.tensor(np.asarray(array), dtype=self.dtype)


def _grad(parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


def versions() -> str:
    """The framework and its version, for a report's title."""
    return f"PyTorch {torch.__version__}"
