"""What the port computes on given arrays, under the reference's names.

Through the public interface alone; the mirror image of a live reference, key by key.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vae_jax
from vae_jax.convert.mapping import export_leaves, flat_leaves, rules_of
from vae_jax.distributions import Posterior
from vae_jax.optim import optimizer_of
from vae_jax.recipe import Recipe
from vae_jax.typing import Tensors


class Port:
    """A port with its optimiser, started from a reference's weights.

    Args:
        name: one of ``vae_jax.MODELS``.
        dtype: ``np.float32`` or ``np.float64`` (which needs ``jax_enable_x64``).
        tensors: the reference's weights.
        **hyper: the model's hyperparameters where they differ from the reference's.
    """

    def __init__(self, name: str, dtype, tensors: Tensors, **hyper: Any):
        self.name, self.dtype, self.hyper = name, np.dtype(dtype), hyper
        self.model = vae_jax.create_model(name, **hyper)
        self.rules = rules_of(name, **hyper)
        variables = vae_jax.import_weights(name, tensors, **hyper)
        self.params = self._cast(variables["params"])
        self.batch_stats = self._cast(variables.get("batch_stats", {}))
        self.optimizer: optax.GradientTransformation | None = None
        self.opt_state: Any = None
        self._gradient = jax.jit(jax.value_and_grad(vae_jax.make_loss(name, **hyper), has_aux=True))

    def state_dict(self) -> Tensors:
        """Weights and statistics."""
        variables = {"params": self.params}
        if self.batch_stats:
            variables["batch_stats"] = self.batch_stats
        return vae_jax.export_weights(self.name, variables, **self.hyper)

    def forward(self, image, noise, label=None) -> dict[str, np.ndarray]:
        """The outputs in eval mode."""
        variables = {"params": self.params, "batch_stats": self.batch_stats}

        @jax.jit
        def run(variables, image, noise, label):
            labels = () if label is None else (label,)
            decoded, posterior = self.model.apply(variables, image, *labels, noise=noise)
            return {**heads(posterior), "image": decoded}

        outputs = run(variables, *(self._cast(v) for v in (image, noise, label)))
        return {k: np.asarray(v) for k, v in outputs.items()}

    def backward(self, image, noise, label=None) -> tuple[dict[str, float], Tensors]:
        """Loss terms with the total, and every parameter's gradient, in train mode."""
        metrics, gradients, _ = self._backward(image, noise, label)
        return metrics, self._export("params", gradients)

    def step(self, recipe: Recipe, image, noise, label=None) -> dict[str, float]:
        """One step of the recipe's optimiser; its loss terms."""
        if self.optimizer is None:
            self.optimizer = optimizer_of(recipe)
            self.opt_state = self.optimizer.init(self.params)
            self._update = jax.jit(self.optimizer.update)
        metrics, gradients, self.batch_stats = self._backward(image, noise, label)
        updates, self.opt_state = self._update(gradients, self.opt_state, self.params)
        self.params = optax.apply_updates(self.params, updates)
        return metrics

    def moments(self) -> dict[str, Tensors]:
        """Adam's moments under PyTorch's names for them."""
        states = jax.tree.leaves(
            self.opt_state, is_leaf=lambda s: isinstance(s, optax.ScaleByAdamState)
        )
        adam = next(s for s in states if isinstance(s, optax.ScaleByAdamState))
        return {
            "exp_avg": self._export("params", adam.mu),
            "exp_avg_sq": self._export("params", adam.nu),
        }

    def _backward(self, image, noise, label):
        batch = {"image": self._cast(image)}
        if label is not None:
            batch["label"] = self._cast(label)
        (_, (metrics, batch_stats)), gradients = self._gradient(
            self.params, self.batch_stats, batch, self._cast(noise)
        )
        return {k: float(v) for k, v in metrics.items()}, gradients, batch_stats

    def _export(self, collection: str, tree) -> Tensors:
        return export_leaves(self.rules, flat_leaves({collection: tree}))

    def _cast(self, tree):
        """Floating leaves to the precision under test; counters stay."""

        def cast(leaf):
            array = jnp.asarray(leaf)
            return array.astype(self.dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

        return jax.tree.map(cast, tree)


def heads(encoded: Any) -> dict[str, Any]:
    """What an encoder returned, each head under its own name: heads of equal shape that are
    compared together can be swapped unseen."""
    if isinstance(encoded, Posterior):
        return {"mean": encoded.mean, "std": encoded.std}
    return {"latent": encoded}
