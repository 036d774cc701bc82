"""The PyTorch backend: a module driven with NumPy arrays, under PyTorch's own tensor names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vae_jax.parity.backends import Backend, Input
from vae_jax.parity.layers import INPUT
from vae_jax.parity.originals.pytorch import RUNNERS, torch
from vae_jax.parity.precision import Precision, PrecisionLike, precision_of
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors

# isort: split
# After the original, whose import says which extra to install where PyTorch is missing.
from torch.utils._python_dispatch import TorchDispatchMode

_DTYPES = {np.dtype(np.float64): torch.float64, np.dtype(np.float32): torch.float32}


class TorchBackend(Backend):
    """A reference with its optimiser, on the CPU.

    Args:
        module: the reference; it is converted to the precision.
        forward: ``(module, *probe) -> outputs`` by name.
        loss: ``(module, *probe) -> terms`` by name; their sum is minimised.
        make_optimizer: from (recipe, parameters) to a ``torch.optim.Optimizer``.
        precision: of everything it computes.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        forward: Callable[..., dict[str, torch.Tensor]],
        loss: Callable[..., dict[str, torch.Tensor]],
        make_optimizer: Callable[[Recipe, Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
        precision: Precision,
    ):
        self.precision, self.dtype = precision, _DTYPES[precision.dtype]
        self.model = module.to("cpu", self.dtype)
        self._forward, self._loss, self._make_optimizer = forward, loss, make_optimizer
        self.optimizer: torch.optim.Optimizer | None = None
        self.ignored: set[str] = set()  # tensors that the port does not have
        self._first = {k: v.clone() for k, v in self.model.state_dict().items()}

    def reset(self, tensors: Tensors) -> None:
        """Take weights and statistics, and forget the optimiser's state."""
        state = {k: torch.tensor(np.asarray(v)) for k, v in tensors.items()}
        state |= {name: self._first[name] for name in self.ignored}
        self.model.load_state_dict(state)
        self.optimizer = None

    def state_dict(self) -> Tensors:
        """Return weights and statistics."""
        state = self.model.state_dict().items()
        return {k: v.detach().numpy().copy() for k, v in state if k not in self.ignored}

    def trace(self, *probe: Input, train: bool = False) -> tuple[Tensors, Tensors]:
        """Return what goes into and comes out of each module with parameters, and the outputs."""
        found: Tensors = {}

        def keep(name):
            def hook(module, inputs, output):
                if inputs and all(isinstance(t, torch.Tensor) for t in (inputs[0], output)):
                    found[name + INPUT] = inputs[0].detach().numpy().copy()
                    found[name] = output.detach().numpy().copy()

            return hook

        self.model.train(train)
        inputs, outputs = self._inputs(probe), {}
        with contextlib.ExitStack() as hooks, self._products(), torch.no_grad():
            for name, module in self.model.named_modules():
                own = [f"{name}.{key}" for key, _ in module.named_parameters(recurse=False)]
                if name and any(key not in self.ignored for key in own):
                    hooks.enter_context(module.register_forward_hook(keep(name)))
            if train:
                self._loss(self.model, *inputs)
            else:
                outputs = self._forward(self.model, *inputs)
        return found, {k: v.numpy().copy() for k, v in outputs.items()}

    def backward(self, *probe: Input) -> tuple[dict[str, float], Tensors]:
        """Return the loss terms with the total, and every parameter's gradient, in train mode."""
        terms = self._backward(probe)
        return terms, {k: _gradient(p).numpy().copy() for k, p in self._parameters()}

    def step(self, recipe: Recipe, *probe: Input) -> dict[str, float]:
        """Take a step of the optimiser and return the loss terms before it."""
        if self.optimizer is None:
            self.optimizer = self._make_optimizer(recipe, self.model.parameters())
        terms = self._backward(probe)
        self.optimizer.step()
        return terms

    def moments(self) -> dict[str, Tensors]:
        """Return Adam's moments by parameter name; nothing for another optimiser."""
        assert self.optimizer is not None, "no step taken yet"
        state = self.optimizer.state
        if not any("exp_avg_sq" in found for found in state.values()):
            return {}
        return {
            # A parameter that took no part has none.
            moment: {
                k: state[p].get(moment, torch.zeros_like(p)).detach().numpy().copy()
                for k, p in self._parameters()
            }
            for moment in ("exp_avg", "exp_avg_sq")
        }

    def updates(
        self, recipe: Recipe, start: np.ndarray, gradients: Iterable[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield a parameter after each of some given gradients: the optimiser by itself."""
        parameter = torch.nn.Parameter(self._tensor(start))
        optimizer = self._make_optimizer(recipe, [parameter])
        for gradient in gradients:
            parameter.grad = self._tensor(gradient)
            optimizer.step()
            yield parameter.detach().numpy().copy()

    def _parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        named = self.model.named_parameters()
        return ((name, p) for name, p in named if name not in self.ignored)

    def _backward(self, probe: tuple[Input, ...]) -> dict[str, float]:
        self.model.train()
        self.model.zero_grad()
        with self._products():
            terms = self._loss(self.model, *self._inputs(probe))
            loss = sum(terms.values())
            assert isinstance(loss, torch.Tensor)
            loss.backward()
        return {k: float(v.detach()) for k, v in {"loss": loss, **terms}.items()}

    def _products(self) -> contextlib.AbstractContextManager[object]:
        """Round the factors of products where the precision asks for it."""
        bits = self.precision.bits
        return contextlib.nullcontext() if bits is None else _RoundedFactors(bits)

    def _inputs(self, probe: tuple[Input, ...]) -> list[torch.Tensor | None]:
        return [None if array is None else self._tensor(array) for array in probe]

    def _tensor(self, array: ArrayLike) -> torch.Tensor:
        array = np.asarray(array)
        return torch.tensor(array, dtype=self.dtype if array.dtype.kind == "f" else None)


class TorchReference(TorchBackend):
    """A reference model with its optimiser, driven with NumPy arrays.

    Args:
        name: a model whose original is PyTorch's.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: weights to load; default: PyTorch's own initialisation from ``seed``.
        seed: of that initialisation.
        **hyper: the module's sizes where they differ from the tutorial's.
    """

    def __init__(
        self,
        name: str,
        precision: PrecisionLike,
        tensors: Tensors | None = None,
        seed: int = 0,
        **hyper: object,
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
    """Return the framework and its version, for a report's title."""
    return f"PyTorch {torch.__version__}"


class _RoundedFactors(TorchDispatchMode):
    """A mode that rounds the factors of every product, forward and backward."""

    def __init__(self, bits: int):
        super().__init__()
        self.bits = bits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        factors = _FACTORS.get(func)
        if factors is not None:
            args = [self._round(a) if i in factors else a for i, a in enumerate(args)]
        return func(*args, **(kwargs or {}))

    def _round(self, tensor: torch.Tensor) -> torch.Tensor:
        """Round to the nearest, ties to even, as the hardware does."""
        dropped = 23 - self.bits
        word = tensor.contiguous().view(torch.int32)
        word = word + ((1 << (dropped - 1)) - 1) + ((word >> dropped) & 1)
        return (word & -(1 << dropped)).view(torch.float32)


_aten: Any = torch.ops.aten
_FACTORS = {  # operation -> which of its arguments are factors
    _aten.mm.default: (0, 1),
    _aten.mv.default: (0, 1),
    _aten.dot.default: (0, 1),
    _aten.baddbmm.default: (1, 2),
    _aten.bmm.default: (0, 1),
    _aten.addmm.default: (1, 2),
    _aten.convolution.default: (0, 1),
    _aten.convolution_backward.default: (0, 1, 2),
}


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    """Return the gradient, zeros for a parameter that took no part."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _adam(recipe: Recipe, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Return the tutorial's optimiser."""
    return torch.optim.Adam(
        parameters,
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
    )
