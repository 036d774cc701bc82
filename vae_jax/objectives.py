"""Loss terms, one number an example, and the loss that joins them as a reference does.

Sources: the training loops of the tutorials (listings 7.3 and 7.6 of tutorial 002, `loss_function`
of 001, `trainer` of 004).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vae_jax.distributions import Posterior
from vae_jax.layers import across
from vae_jax.likelihoods import Likelihood
from vae_jax.models import create_model, get_spec
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec
from vae_jax.typing import Image, Noise, PerExample

Batch = dict[str, Any]
Loss = Callable[..., tuple[Any, tuple[dict[str, Any], Any]]]


def loss_terms(x: Image, decoded: Likelihood, encoded: Any) -> dict[str, PerExample]:
    """The terms of the loss, each [B]: ``reconstruction`` (in the unit of what the decoder says)
    and, where the model has a posterior, ``kl_divergence`` (nats)."""
    terms = {"reconstruction": decoded.reconstruction_loss(x)}
    if isinstance(encoded, Posterior):
        terms["kl_divergence"] = encoded.kl_divergence()
    return terms


def make_loss(name: str, *, recipe: Recipe | None = None, **hyper: Any) -> Loss:
    """The training loss of a model, pure and differentiable, in train mode.

    Args:
        name: one of ``vae_jax.MODELS``.
        recipe: gives ``beta``, ``beta_warmup`` and ``reduction``; default: the reference's.
        **hyper: the model's hyperparameters where they differ from the reference's.

    Returns:
        ``loss(params, batch_stats, batch, noise) -> (loss, (metrics, batch_stats))``. ``batch``
        holds ``image`` [B, H, W, C] in the model's pixel range; ``label``, one-hot [B, K], where
        the model takes one; for denoising ``input``, the corrupted images to encode instead; for
        a padded batch ``mask`` [B] with 0 for the padding, which then counts nowhere. ``noise``
        is [B, L], or None for a model without a posterior. A recipe with ``beta_warmup`` also
        needs ``step=``, the number of steps taken before this one. ``metrics`` holds the loss and
        its terms, joined over the batch as the recipe says (``sum`` or ``mean``); the new
        ``batch_stats`` come beside them.

    Raises:
        UserError: an unknown model or hyperparameter.
    """
    spec = get_spec(name)
    model = create_model(name, **hyper)
    recipe = recipe or spec.recipe

    def loss(params: Any, batch_stats: Any, batch: Batch, noise: Noise | None, *, step: Any = None):
        image, mask = batch["image"], batch.get("mask")
        with across.batch_norm_groups(recipe.batch_norm_groups):
            (decoded, encoded), updates = model.apply(
                {"params": params, "batch_stats": batch_stats},
                batch.get("input", image),
                *_label(spec, batch),
                method="forward",
                noise=noise,
                train=True,
                mask=mask,
                mutable=["batch_stats"],
            )
        if updates.get("batch_stats") and not batch_stats:
            raise ValueError(f"{spec.name} has running statistics; expected its batch_stats")
        metrics = {
            name: _join(term, mask, recipe.reduction)
            for name, term in loss_terms(image, decoded, encoded).items()
        }
        total = metrics["reconstruction"]
        if "kl_divergence" in metrics:
            divergence = metrics["kl_divergence"]
            total = total + _beta(recipe, step, divergence.dtype) * divergence
        return total, ({"loss": total, **metrics}, updates.get("batch_stats", {}))

    return loss


def _label(spec: ModelSpec, batch: Batch) -> tuple[Any, ...]:
    if not spec.num_classes:
        return ()
    if "label" not in batch:
        raise ValueError(
            f"{spec.name} takes labels; expected one-hot batch['label'] [B, {spec.num_classes}]"
        )
    return (batch["label"],)


def _beta(recipe: Recipe, step: Any, dtype: Any):
    """The KL's weight at a step: a Python number, or a scalar array of a dtype."""
    if recipe.beta_warmup == 0:
        return recipe.beta
    if step is None:
        raise ValueError(f"beta rises over {recipe.beta_warmup} steps; expected step= in the call")
    return recipe.beta * jnp.minimum(jnp.asarray(step, dtype) / recipe.beta_warmup, 1.0)


def _join(term: PerExample, mask: Any, reduction: str):
    """What a term's examples on this device add to the loss."""
    if mask is None:
        total, count = term.sum(), term.shape[0] * across.num_devices()
    else:
        mask = mask.astype(term.dtype)
        total, count = jnp.where(mask > 0, term, jnp.zeros_like(term)).sum(), mask.sum()
        count = across.total(count)
    return total if reduction == "sum" else total / count
