"""Loss terms, one number an example, and the loss that joins them as a reference does.

Sources: the training loops of the tutorials (listing 7.3 and 7.6 of tutorial 002).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vae_jax.distributions import DiagonalGaussian
from vae_jax.models import create_model, get_spec
from vae_jax.spec import Recipe
from vae_jax.typing import Image, Noise, PerExample

Batch = dict[str, Any]
Loss = Callable[..., tuple[Any, tuple[dict[str, Any], Any]]]


def squared_error(x: Image, decoded: Image) -> PerExample:
    """Squared error summed over the pixels and channels of each image, [B]."""
    return ((decoded - x) ** 2).sum(axis=(1, 2, 3))


def loss_terms(x: Image, decoded: Image, posterior: Any) -> dict[str, PerExample]:
    """The terms of the loss, each [B]: ``reconstruction`` (summed squared error) and, where the
    model has a posterior, ``kl_divergence`` (nats)."""
    terms = {"reconstruction": squared_error(x, decoded)}
    if isinstance(posterior, DiagonalGaussian):
        terms["kl_divergence"] = posterior.kl_divergence()
    return terms


def make_loss(name: str, *, recipe: Recipe | None = None, **hyper: Any) -> Loss:
    """The training loss of a model, pure and differentiable, in train mode.

    Args:
        name: one of ``vae_jax.MODELS``.
        recipe: gives ``beta`` and ``reduction``; default: the reference's.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Returns:
        ``loss(params, batch_stats, batch, noise) -> (loss, (metrics, batch_stats))``. ``batch``
        holds ``image`` [B, H, W, C] in the model's pixel range and, for a padded batch, ``mask``
        [B] with 0 for the padding, which then counts nowhere. ``noise`` is [B, L], or None for a
        model without a posterior. ``metrics`` holds the loss and its terms, joined over the batch
        as the recipe says (``sum`` or ``mean``); the new ``batch_stats`` come beside them.

    Raises:
        UserError: an unknown model or hyperparameter.
    """
    spec = get_spec(name)
    model = create_model(name, **hyper)
    recipe = recipe or spec.recipe

    def loss(params: Any, batch_stats: Any, batch: Batch, noise: Noise | None):
        image, mask = batch["image"], batch.get("mask")
        (decoded, posterior), updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            image,
            noise=noise,
            train=True,
            mask=mask,
            mutable=["batch_stats"],
        )
        if updates.get("batch_stats") and not batch_stats:
            raise ValueError(f"{spec.name} has running statistics; expected its batch_stats")
        metrics = {
            name: _join(term, mask, recipe.reduction)
            for name, term in loss_terms(image, decoded, posterior).items()
        }
        total = metrics["reconstruction"]
        if "kl_divergence" in metrics:
            total = total + recipe.beta * metrics["kl_divergence"]
        return total, ({"loss": total, **metrics}, updates.get("batch_stats", {}))

    return loss


def _join(term: PerExample, mask: Any, reduction: str):
    if mask is None:
        return term.sum() if reduction == "sum" else term.mean()
    mask = mask.astype(term.dtype)
    total = jnp.where(mask > 0, term, jnp.zeros_like(term)).sum()
    return total if reduction == "sum" else total / mask.sum()
