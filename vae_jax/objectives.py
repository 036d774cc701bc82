"""Objectives: the evidence lower bound, the losses that the references make of it, and bounds.

A VAE raises the evidence lower bound of its images, ``log p(x | z) - KL(q(z | x) || p(z))`` for a
draw z of the posterior. In its terms each reference's loss is, over a batch:

===========  ==========================================================  =========
model        loss of an image                                            batch
===========  ==========================================================  =========
digits_ae    squared error, without a KL: the posterior is a point       sum
face_vae     squared error + KL                                          sum
conv_vae     squared error + KL; or -elbo, of a Bernoulli or a Gaussian  mean
stddev_vae   -elbo of a Bernoulli, with 1e-8 inside its logarithms       mean
digits_vae   squared error + KL                                          mean
digits_cvae  squared error + KL, both given the label                    mean
===========  ==========================================================  =========

The squared error is the negative log likelihood, less a constant, of a Gaussian with variance 1/2:
these losses are -elbo too, of a decoder that claims a standard deviation of 0.71 for every pixel.

Sources: the training loops of the tutorials (listings 7.3 and 7.6 of tutorial 002, `loss_function`
of 001, `trainer` of 004); Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders",
2016, for the importance-weighted bound.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, cast

import jax  # many of its functions have no full hints
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from vae_jax.distributions import (
    Deterministic,
    GaussianPosterior,
    Likelihood,
    LikelihoodInNats,
    Posterior,
    prior_log_prob,
)
from vae_jax.errors import UserError
from vae_jax.layers.collectives import axis_size, psum
from vae_jax.models import create_model, get_spec
from vae_jax.models.base import Autoencoder
from vae_jax.recipe import Recipe
from vae_jax.spec import ModelSpec
from vae_jax.typing import AnyArray, Image, Key, Mask, Noise, OneHot, PerExample, Tree, Variables

Batch = Mapping[str, AnyArray]
LossResult = tuple[jax.Array, tuple[dict[str, jax.Array], Variables]]
Loss = Callable[..., LossResult]
_Applied = tuple[tuple[Likelihood, Posterior], Variables]
_Given = tuple[Variables, GaussianPosterior, Image, OneHot | None, Key]
_Step = ArrayLike | None
_Sums = tuple[jax.Array, jax.Array, jax.Array]


def loss_terms(x: Image, likelihood: Likelihood, posterior: Posterior) -> dict[str, PerExample]:
    """Return the terms of the loss, each [B].

    ``reconstruction`` is in the likelihood's unit: its negative log probability in nats, or a
    squared error. ``kl_divergence``, in nats, is left out where the posterior is one point.
    """
    terms = {"reconstruction": likelihood.reconstruction_loss(x)}
    if not isinstance(posterior, Deterministic):
        terms["kl_divergence"] = posterior.kl_divergence()
    return terms


def elbo(
    x: Image, likelihood: Likelihood, posterior: Posterior, *, beta: float = 1.0
) -> PerExample:
    """Return the evidence lower bound of each image, [B]: log p(x | z) - beta KL(q(z | x) || p(z)).

    In nats, for one draw z of the posterior. With a squared error, which lacks the constant of its
    Gaussian, the bound lacks it too.
    """
    return -likelihood.reconstruction_loss(x) - beta * posterior.kl_divergence()


def make_loss(
    name: str, *, recipe: Recipe | None = None, axis_name: str | None = None, **hyper: object
) -> Loss:
    """Return the training loss of a model, pure and differentiable, in train mode.

    Args:
        name: one of ``vae_jax.MODELS``.
        recipe: gives ``beta``, ``beta_warmup``, ``reduction`` and ``batch_norm_groups``; default:
            the reference's.
        axis_name: the axis of devices under ``pmap``, over which the loss is to be summed.
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
    recipe = recipe or get_spec(name).recipe
    return loss_of(create_model(name, **hyper), get_spec(name), recipe, axis_name)


def loss_of(
    model: Autoencoder, spec: ModelSpec, recipe: Recipe, axis_name: str | None = None
) -> Loss:
    """Return the loss of ``make_loss`` for a module."""
    model = model.clone(axis_name=axis_name, batch_norm_groups=recipe.batch_norm_groups)

    def loss(
        params: Tree, batch_stats: Tree, batch: Batch, noise: Noise | None, *, step: _Step = None
    ) -> LossResult:
        x, mask, label = batch["image"], batch.get("mask"), batch.get("label")
        if spec.num_classes and label is None:
            raise ValueError(
                f"{spec.name} takes labels; expected one-hot batch['label'] [B, {spec.num_classes}]"
            )
        applied = model.apply(
            {"params": params, "batch_stats": batch_stats},
            batch.get("input", x),  # to denoise, the corrupted images are encoded
            label if spec.num_classes else None,
            method="forward",
            noise=noise,
            train=True,
            mask=mask,
            mutable=["batch_stats"],
        )
        (likelihood, posterior), updates = cast(_Applied, applied)
        if updates.get("batch_stats") and not batch_stats:
            raise ValueError(f"{spec.name} has running statistics; expected its batch_stats")

        # Each term is joined over the batch first, as the references do: float32 rounds so.
        metrics = {
            name: _join(term, mask, recipe.reduction, axis_name)
            for name, term in loss_terms(x, likelihood, posterior).items()
        }
        total = metrics["reconstruction"]
        if "kl_divergence" in metrics:
            divergence = metrics["kl_divergence"]
            total = total + _beta(recipe, step, divergence.dtype) * divergence
        return total, ({"loss": total, **metrics}, updates.get("batch_stats", {}))

    return loss


def _beta(recipe: Recipe, step: _Step, dtype: DTypeLike) -> float | jax.Array:
    """Return the weight of the KL at a step: a Python number, or a scalar array of a dtype."""
    if recipe.beta_warmup == 0:
        return recipe.beta
    if step is None:
        raise ValueError(f"beta rises over {recipe.beta_warmup} steps; expected step= in the call")
    return recipe.beta * jnp.minimum(jnp.asarray(step, dtype) / recipe.beta_warmup, 1.0)


def _join(term: PerExample, mask: Mask | None, reduction: str, axis_name: str | None) -> jax.Array:
    """Return what a term's examples on this device add to the loss."""
    if mask is None:
        total, count = term.sum(), term.shape[0] * axis_size(axis_name)
    else:
        mask = mask.astype(term.dtype)
        total, count = jnp.where(mask > 0, term, jnp.zeros_like(term)).sum(), mask.sum()
        count = psum(count, axis_name)
    return total if reduction == "sum" else total / count


class Bound(NamedTuple):
    """A lower bound of each example's log-likelihood, from K draws of its posterior.

    Attributes:
        value: [B], nats. Its expectation is at most log p(x), and rises to it with K.
        monte_carlo_error: [B], nats: about how far other draws would move ``value`` (one standard
            deviation), by the delta method: the relative standard deviation of the weights over
            the root of K. NaN for one draw. It is at most 1, where one draw carries the whole
            sum; from about 0.3 on it is too small.
    """

    value: PerExample
    monte_carlo_error: PerExample


def iwae_bound(
    model: Autoencoder,
    variables: Variables,
    x: Image,
    key: Key,
    label: OneHot | None = None,
    *,
    num_samples: int,
    chunk: int = 50,
) -> Bound:
    """Return log (1/K) sum_k p(x | z_k) p(z_k) / q(z_k | x) of each image, z_k from q(z | x).

    Draw k of an image depends on the image's key and on k alone: neither the chunk nor the other
    images of the batch change it, and more draws begin with those of fewer.

    Args:
        model: an ``Autoencoder`` with a posterior and a likelihood in nats.
        variables: of the model.
        x: [B, H, W, C] in the model's pixel range.
        key: one key, which is split; or one an image, [B].
        label: one-hot [B, classes] where the model takes one.
        num_samples: K.
        chunk: draws decoded at a time: the memory is that of ``chunk * B`` images.

    Raises:
        UserError: the model has no posterior or no likelihood.
        ValueError: no draws, or none at a time.
    """
    if num_samples < 1 or chunk < 1:
        raise ValueError(f"{num_samples} draws, {chunk} at a time; expected at least 1")
    likelihood_shapes(model, variables, x, label, bounded=True)
    keys = jax.random.split(key, len(x)) if key.ndim == 0 else key
    posterior = cast(GaussianPosterior, _encode(model, variables, x, label))
    chunk, zeros = min(chunk, num_samples), jnp.zeros_like(posterior.mean[:, 0])
    sums: _Sums = (zeros - jnp.inf, zeros, zeros)
    given: _Given = (variables, posterior, x, label, keys)
    for start in range(0, num_samples, chunk):
        sums = cast(_Sums, _add_draws(model, chunk, given, sums, start, num_samples))
    top, weights, squares = sums
    value = jnp.log(weights) + top - math.log(num_samples)
    if num_samples == 1:
        return Bound(value, jnp.full_like(value, math.nan))
    spread = num_samples * squares / weights**2 - 1  # the weights' relative variance
    return Bound(value, jnp.sqrt(jnp.maximum(spread, 0) / (num_samples - 1)))


def likelihood_shapes(
    model: Autoencoder, variables: Variables, x: Image, label: OneHot | None, *, bounded: bool
) -> Likelihood:
    """Return the likelihood of images in shapes only.

    Raises:
        UserError: ``bounded`` is set, and the model has no posterior or no likelihood in nats.
    """
    noise = jnp.zeros((len(x), model.latent_size), x.dtype)
    likelihood, posterior = jax.eval_shape(
        lambda: model.apply(variables, x, label, noise=noise, method="forward")
    )
    plain = isinstance(posterior, Deterministic)
    if bounded and (plain or likelihood.unit != "nats"):
        lack = f"a {likelihood.unit} is no likelihood"
        if plain:
            lack = "it has no posterior to draw from"
        raise UserError(
            f"{type(model).__name__} has no likelihood bound: {lack}; leave out the samples, or "
            "train conv_vae with --hyper likelihood=bernoulli or likelihood=gaussian"
        )
    return likelihood


def normal_of(keys: Key, like: AnyArray) -> jax.Array:
    """Return standard normal noise of the shape and dtype of ``like``, from one key a row."""
    return jax.vmap(partial(jax.random.normal, shape=like.shape[1:], dtype=like.dtype))(keys)


@partial(jax.jit, static_argnums=0)
def _encode(model: Autoencoder, variables: Variables, x: Image, label: OneHot | None) -> object:
    return model.apply(variables, x, label, method="encode")


@partial(jax.jit, static_argnums=(0, 1))
def _add_draws(
    model: Autoencoder, chunk: int, given: _Given, sums: _Sums, start: jax.Array, stop: jax.Array
) -> _Sums:
    """Add the draws from ``start`` on, before ``stop``, to the sums.

    Returns:
        (largest log weight, sum of weights, sum of squared weights), each [B]; the weights in the
        sums are divided by the largest one.
    """
    variables, posterior, x, label, keys = given

    def draw(number: jax.Array) -> tuple[AnyArray, PerExample]:
        """Return draw ``number`` of every image, and its log p(z) / q(z | x)."""
        of_draw = jax.vmap(partial(jax.random.fold_in, data=number))(keys)
        z = posterior.reparameterize(normal_of(of_draw, posterior.mean))
        return z, prior_log_prob(z) - posterior.log_prob(z)

    def repeated(rows: AnyArray) -> jax.Array:
        return jnp.concatenate([rows] * chunk)

    numbers = start + jnp.arange(chunk)
    z, log_ratio = jax.vmap(draw)(numbers)
    every_x, every_label = jax.tree.map(repeated, (x, label))
    z = z.reshape(-1, z.shape[-1])
    likelihood = model.apply(variables, z, every_label, method="image_likelihood")
    log_weights = cast(LikelihoodInNats, likelihood).log_prob(every_x).reshape(chunk, -1)
    log_weights = log_weights + log_ratio
    log_weights = jnp.where((numbers < stop)[:, None], log_weights, -jnp.inf)
    top = jnp.maximum(sums[0], log_weights.max(axis=0))
    before, new = jnp.exp(sums[0] - top), jnp.exp(log_weights - top[None])
    return top, sums[1] * before + new.sum(0), sums[2] * before**2 + (new**2).sum(0)
