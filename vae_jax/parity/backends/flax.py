"""The Flax backend: a port driven with NumPy arrays, under its reference's names and layouts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.convert.mapping import export_leaves, flat_leaves, import_weights, rules_of
from vae_jax.distributions import Deterministic, Posterior
from vae_jax.models import create_model, get_spec
from vae_jax.objectives import loss_of
from vae_jax.optim import optimizer_of
from vae_jax.parity.backends import Backend, Input, Value
from vae_jax.parity.layers import INPUT, captured, layers_of
from vae_jax.parity.precision import (
    Precision,
    PrecisionLike,
    compile_in,
    jax_settings,
    precision_of,
)
from vae_jax.recipe import Recipe
from vae_jax.spec import Rule
from vae_jax.typing import Latent, Tensors, Variables

Terms = Mapping[str, Value]
Forward = Callable[..., Terms]
Loss = Callable[..., tuple[Terms, Variables]]
T = TypeVar("T")


class FlaxBackend(Backend):
    """A port with its optimiser.

    Args:
        rules: one a tensor of the reference.
        forward: ``(variables, *probe) -> outputs`` by name, in eval mode.
        loss: ``(variables, *probe) -> (terms, batch_stats)``, in train mode; the first term is the
            total.
        make_optimizer: from a recipe to its Optax transformation.
        precision: of everything it computes.
        channels_first: whether the reference's images are.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        forward: Forward,
        loss: Loss,
        make_optimizer: Callable[[Recipe], optax.GradientTransformation],
        precision: Precision,
        *,
        channels_first: bool = True,
    ):
        self.rules, self.precision, self.channels_first = tuple(rules), precision, channels_first
        self.layers, self.make_optimizer = layers_of(rules), make_optimizer
        self.variables: Variables = {}
        self.optimizer: optax.GradientTransformation | None = None
        self.opt_state: optax.OptState | None = None

        # Compiled functions that held `self` would keep its arrays until garbage is collected.
        paths, calls = tuple(self.layers), []
        self._calls: list[tuple[str, ...]] = calls  # layers in the order of their calls

        def traced(variables, probe, train):
            found: Terms = {}
            with captured(paths) as layers:
                if train:
                    loss(variables, *probe)
                else:
                    found = forward(variables, *probe)
            calls[:] = layers  # while it is traced: a dict comes back from it sorted
            return layers, found

        def total(params, variables, probe):
            terms, batch_stats = loss({**variables, "params": params}, *probe)
            return next(iter(terms.values())), (terms, batch_stats)

        self._traces = {
            train: compile_in(precision, functools.partial(traced, train=train))
            for train in (False, True)
        }
        self._gradient = compile_in(precision, jax.value_and_grad(total, has_aux=True))

    def reset(self, tensors: Tensors) -> None:
        """Take the reference's weights and statistics, and forget the optimiser's state."""
        with jax_settings(self.precision):
            self.variables = self._cast(self._import(tensors))
        self.opt_state = None

    def state_dict(self) -> Tensors:
        """Return weights and statistics."""
        return export_leaves(self.rules, flat_leaves(self.variables))

    def trace(self, *probe: Input, train: bool = False) -> tuple[Tensors, Tensors]:
        """Return what goes into and comes out of each layer, and in eval mode the outputs."""
        with jax_settings(self.precision):
            layers, outputs = self._traces[train](self.variables, self._cast(probe))
        found: Tensors = {}
        for path in self._calls:
            layer, (given, made) = self.layers[path], layers[path]
            found[layer.name + INPUT] = layer.as_reference("input", given, self.channels_first)
            found[layer.name] = layer.as_reference("output", made, self.channels_first)
        return found, {k: np.asarray(v) for k, v in outputs.items()}

    def backward(self, *probe: Input) -> tuple[dict[str, float], Tensors]:
        """Return the loss terms with the total, and every parameter's gradient, in train mode."""
        terms, gradients, _ = self._backward(probe)
        return terms, self._export(gradients)

    def step(self, recipe: Recipe, *probe: Input) -> dict[str, float]:
        """Take a step of the optimiser and return the loss terms before it."""
        with jax_settings(self.precision):
            params = self.variables["params"]
            if self.optimizer is None:
                self.optimizer = self.make_optimizer(recipe)
                self._update = jax.jit(self.optimizer.update)
                self._apply = jax.jit(optax.apply_updates)
            if self.opt_state is None:
                self.opt_state = jax.jit(self.optimizer.init)(params)
            terms, gradients, batch_stats = self._backward(probe)
            updates, self.opt_state = self._update(gradients, self.opt_state, params)
            self.variables = {"params": self._apply(params, updates)}
            if batch_stats:
                self.variables["batch_stats"] = batch_stats
        return terms

    def moments(self) -> dict[str, Tensors]:
        """Return Adam's moments under PyTorch's names; nothing for another optimiser."""
        states = jax.tree.leaves(
            self.opt_state, is_leaf=lambda s: isinstance(s, optax.ScaleByAdamState)
        )
        for state in states:
            if isinstance(state, optax.ScaleByAdamState):
                return {"exp_avg": self._export(state.mu), "exp_avg_sq": self._export(state.nu)}
        return {}

    def updates(
        self, recipe: Recipe, start: np.ndarray, gradients: Iterable[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield a parameter after each of some given gradients: the optimiser by itself."""
        with jax_settings(self.precision):
            optimizer, parameter = self.make_optimizer(recipe), self._cast(start)
            state, update = optimizer.init(parameter), jax.jit(optimizer.update)
        for gradient in gradients:
            with jax_settings(self.precision):
                change, state = update(self._cast(gradient), state, parameter)
                parameter = optax.apply_updates(parameter, change)
            yield np.asarray(parameter)

    def _backward(self, probe: tuple[Input, ...]) -> tuple[dict[str, float], Variables, Variables]:
        with jax_settings(self.precision):
            (_, (terms, batch_stats)), gradients = self._gradient(
                self.variables["params"], self.variables, self._cast(probe)
            )
        return {k: float(v) for k, v in terms.items()}, gradients, batch_stats

    def _import(self, tensors: Tensors) -> Variables:
        leaves = {r.target: r.to_target(np.asarray(tensors[r.source])) for r in self.rules}
        return flax.traverse_util.unflatten_dict(leaves)

    def _export(self, params: optax.Params) -> Tensors:
        return export_leaves(self.rules, flat_leaves({"params": params}))

    def _cast(self, tree: T) -> T:
        """Return a tree with its floating leaves in the precision under test; counters stay."""

        def cast(leaf: Value) -> jax.Array:
            array = jnp.asarray(leaf)
            floating = jnp.issubdtype(array.dtype, jnp.floating)
            return array.astype(self.precision.dtype) if floating else array

        return jax.tree.map(cast, tree)


class Port(FlaxBackend):
    """A port of the package with its optimiser, through the public interface.

    It starts from a reference's weights.

    Args:
        name: one of ``vae_jax.MODELS``.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: the reference's weights.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Raises:
        CheckpointError: the weights are not this model's.
    """

    def __init__(self, name: str, precision: PrecisionLike, tensors: Tensors, **hyper: object):
        self.name, self.hyper = name, hyper
        model: Any = create_model(name, **hyper)
        loss = loss_of(model, get_spec(name), get_spec(name).recipe)

        def forward(variables, image, noise, label=None):
            decoded, posterior = model.apply(variables, image, label, noise=noise)
            return {**heads(posterior), "image": decoded}

        def terms(variables, image, noise, label=None):
            batch = {"image": image} | ({} if label is None else {"label": label})
            params, batch_stats = variables["params"], variables.get("batch_stats", {})
            _, found = loss(params, batch_stats, batch, noise)
            return found

        super().__init__(
            rules_of(name, **hyper),
            forward,
            terms,
            optimizer_of,
            precision_of(precision),
            channels_first=get_spec(name).reference.framework != "TensorFlow",
        )
        self.reset(tensors)

    def _import(self, tensors: Tensors) -> Variables:
        return import_weights(self.name, tensors, **self.hyper)


def heads(posterior: Posterior) -> dict[str, Latent]:
    """Return a posterior's parts, each under its own name.

    Heads of equal shape that are compared together can be swapped unseen.
    """
    if isinstance(posterior, Deterministic):
        return {"latent": posterior.mean}
    return {"mean": posterior.mean, "std": posterior.std}
