"""The port of a model of the package as a side of a comparison, through the public interface."""

from __future__ import annotations

from typing import Any

import vae_jax
from vae_jax.convert.mapping import rules_of
from vae_jax.distributions import Posterior
from vae_jax.models import get_spec
from vae_jax.optim import optimizer_of
from vae_jax.parity.flax_side import FlaxSide
from vae_jax.parity.precision import precision_of
from vae_jax.typing import Tensors, Variables


class Port(FlaxSide):
    """A port with its optimiser, started from a reference's weights.

    Args:
        name: one of ``vae_jax.MODELS``.
        precision: a name of ``PRECISIONS``, or a NumPy dtype.
        tensors: the reference's weights.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Raises:
        CheckpointError: the weights are not this model's.
    """

    def __init__(self, name: str, precision: Any, tensors: Tensors, **hyper: Any):
        self.name, self.hyper = name, hyper
        model: Any = vae_jax.create_model(name, **hyper)
        loss = vae_jax.make_loss(name, **hyper)

        def forward(variables, image, noise, label=None):
            labels = () if label is None else (label,)
            decoded, posterior = model.apply(variables, image, *labels, noise=noise)
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
            lambda recipe: optimizer_of(recipe),  # looked up late: a fault may take its place
            precision_of(precision),
            channels_first=get_spec(name).reference.framework != "TensorFlow",
        )
        self.reset(tensors)

    def _import(self, tensors: Tensors) -> Variables:
        return vae_jax.import_weights(self.name, tensors, **self.hyper)


def heads(encoded: Any) -> dict[str, Any]:
    """What an encoder returned, each head under its own name: heads of equal shape that are
    compared together can be swapped unseen."""
    if isinstance(encoded, Posterior):
        return {"mean": encoded.mean, "std": encoded.std}
    return {"latent": encoded}
