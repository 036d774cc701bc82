"""Evaluate a trained model: loss terms, likelihood bounds, active units and PSNR.

Sources: Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2016, for the bound
and the active units; Salakhutdinov and Murray, "On the Quantitative Analysis of Deep Belief
Networks", 2008, for sampling binary pixels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.corruption import psnr
from vae_jax.data.pixels import scale_pixels
from vae_jax.errors import DataError, UserError
from vae_jax.objectives import iwae_bound, likelihood_shapes, loss_terms, normal_of
from vae_jax.pretrained import Pretrained
from vae_jax.recipe import Recipe
from vae_jax.typing import Key, Labels, Latent, Pixels

Binarize = Literal["none", "threshold", "sample"]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A mean over images.

    Attributes:
        mean: the mean over the images.
        standard_error: the standard deviation over the images divided by the square root of their
            number. None for a single image or an infinite mean.
        monte_carlo_error: the part of ``standard_error`` that is due to the draws of a bound. None
            for one draw.
    """

    mean: float
    standard_error: float | None
    monte_carlo_error: float | None = None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of ``evaluate``; every ``Figure`` is per image.

    Attributes:
        model: one of ``vae_jax.MODELS``.
        num_images: number of images.
        binarize: how their pixels were made black or white.
        unit: unit of the reconstruction term; the KL divergence is in nats.
        terms: the loss terms.
        recipe_terms: the terms as the recipe's loop prints them after an epoch of these images.
        recipe_rule: how the recipe reduces them, in words.
        elbo: minus the sum of the terms in nats, if the decoder is a likelihood. (For grey pixels a
            Bernoulli decoder gives a cross entropy, which bounds no likelihood.)
        bounds: numbers of draws to importance-weighted bounds in nats.
        latent_size: number of latent dimensions.
        active_units: the dimensions in use; None without a posterior.
        psnr: PSNR of the reconstructions from the posterior's mean, in dB; its peak is the width of
            the pixel range.
    """

    model: str
    num_images: int
    binarize: str
    unit: str
    terms: dict[str, Figure]
    recipe_terms: dict[str, float]
    recipe_rule: str
    elbo: Figure | None
    bounds: dict[int, Figure]
    latent_size: int
    active_units: list[int] | None
    psnr: Figure

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the infinite PSNR of identical images becomes None."""
        found = dataclasses.asdict(self)
        if math.isinf(self.psnr.mean):
            found["psnr"]["mean"] = None
        return found


def active_units(means: Latent, threshold: float = 0.01) -> jax.Array:
    """Return which latents the encoder uses, bool [L].

    A latent is active if its posterior mean, [N, L], has a variance above the threshold.

    >>> active_units(jnp.array([[0.0, 3.0, 0.1], [1.0, 3.0, 0.0]])).tolist()
    [True, False, False]
    """
    return jnp.asarray(means).var(axis=0) > threshold


def evaluate(
    pretrained: Pretrained,
    images: Pixels,
    labels: Labels | None = None,
    *,
    batch_size: int = 100,
    num_samples: int | Sequence[int] | None = None,
    chunk: int = 5,
    seed: int = 0,
    binarize: Binarize = "none",
) -> Evaluation:
    """Measure a model on stored images, with one posterior draw per image for the loss terms.

    All draws depend only on the seed and the image's number, not on the batch size.

    Args:
        pretrained: the model, from ``vae_jax.load``.
        images: [N, H, W, C] in the model's shape.
        labels: [N]; required if the model takes labels, and ignored otherwise.
        batch_size: images per batch.
        num_samples: draws per image for ``iwae_bound``, or several numbers of draws.
        chunk: draws per image to decode at once. On a CPU, decoding about 500 images at once is
            fastest; accelerators can take more.
        seed: seed of all draws.
        binarize: ``threshold`` makes pixels above one half white and the rest black; ``sample``
            makes them white with the pixel as probability; ``none`` keeps them.

    Raises:
        UserError: a bound needs a likelihood that the model lacks, or a result is not finite.
        DataError: there are no images, or the model does not accept a label.
    """
    spec, model, name = pretrained.spec, pretrained.model, pretrained.name
    image_shape, recipe = pretrained.image_shape, pretrained.recipe
    counts = [num_samples] if isinstance(num_samples, int) else num_samples or ()
    classes, total = spec.num_classes, len(images)
    if total == 0:
        raise DataError("there are no images to evaluate on")
    if labels is None:
        labels = np.full(total, -1)
    if classes and not ((labels >= 0) & (labels < classes)).all():
        raise DataError(f"{name} takes labels 0 to {classes - 1}; there are others, or none")
    variables = jax.tree.map(jnp.asarray, pretrained.variables)
    dtype = jnp.result_type(*jax.tree.leaves(variables["params"]))
    purposes = jax.random.split(jax.random.key(seed), 3)
    label = jnp.zeros((1, classes), dtype) if classes else None
    blank = jnp.zeros((1, *image_shape), dtype)
    unit, found = likelihood_shapes(model, variables, blank, label, bounded=bool(counts)).unit, []
    for start in range(0, total, batch_size):
        # Fill the last batch by repeating an image, because another shape would compile again.
        rows = np.minimum(start + np.arange(min(batch_size, total)), total - 1)
        pixel_keys, noise_keys, draw_keys = (_keys(purpose, rows) for purpose in purposes)
        stored = _binarized(jnp.asarray(images[rows]), binarize, pixel_keys)
        x = scale_pixels(stored, spec.pixel_range).astype(dtype)
        label = jax.nn.one_hot(labels[rows], classes, dtype=dtype) if classes else None
        measured = _measure(model, spec.pixel_range, variables, x, label, noise_keys)
        bounds = {
            k: iwae_bound(model, variables, x, draw_keys, label, num_samples=k, chunk=chunk)
            for k in counts
        }
        real = slice(min(batch_size, total - start))
        found.append(jax.tree.map(lambda a, real=real: np.asarray(a)[real], (*measured, bounds)))
    terms, centers, quality, bounds = jax.tree.map(lambda *a: np.concatenate(a), *found)
    terms = {key: terms[key] for key in ("reconstruction", "kl_divergence") if key in terms}
    values = [*terms.values(), *(bound.value for bound in bounds.values())]
    if not np.isfinite(values).all():
        raise UserError(f"the figures of {name} are not finite; its weights hold NaN?")
    elbo = -np.stack(list(terms.values())).astype(np.float64).sum(axis=0)
    is_bound = spec.variational and unit == "nats"
    return Evaluation(
        model=name,
        num_images=total,
        binarize=binarize,
        unit=unit,
        terms={key: _figure(term) for key, term in terms.items()},
        recipe_terms={key: _as_an_epoch(term, recipe) for key, term in terms.items()},
        recipe_rule=f"{recipe.reduction} over a batch of {recipe.batch_size}, "
        f"{recipe.epoch_loss} over the batches",
        elbo=_figure(elbo) if is_bound else None,
        bounds={k: _figure(*bound) for k, bound in bounds.items()},
        latent_size=pretrained.latent_size,
        active_units=np.flatnonzero(active_units(centers)).tolist() if spec.variational else None,
        psnr=_figure(quality),
    )


@partial(jax.jit, static_argnums=(0, 1))
def _measure(model: Any, pixel_range: Any, variables: Any, x: Any, label: Any, keys: Any) -> Any:
    """Return each image's loss terms, central latent, and PSNR of its decoding."""
    posterior = model.apply(variables, x, label, method="encode")
    center = posterior.mean
    noise = normal_of(keys, center)
    likelihood, _ = model.apply(variables, x, label, noise=noise, method="forward")
    reconstruction = model.apply(variables, center, label, method="decode")
    peak = pixel_range[1] - pixel_range[0]
    return loss_terms(x, likelihood, posterior), center, psnr(x, reconstruction, peak)


@partial(jax.jit, static_argnums=1)
def _binarized(stored: Any, how: str, keys: Any) -> Any:
    if how == "none":
        return stored
    level = jnp.full(stored.shape, 0.5, jnp.float32)
    if how == "sample":
        level = jax.vmap(lambda key: jax.random.uniform(key, stored.shape[1:], jnp.float32))(keys)
    return jnp.where(scale_pixels(stored, (0.0, 1.0)) > level, jnp.uint8(255), jnp.uint8(0))


def _keys(key: Key, rows: np.ndarray) -> Key:
    return jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.asarray(rows))


def _figure(values: np.ndarray, errors: np.ndarray | None = None) -> Figure:
    """Return the mean of ``values`` [N], whose draws have the standard errors ``errors`` [N]."""
    values, count, monte_carlo = values.astype(np.float64), len(values), None
    if errors is not None and np.isfinite(errors).all():
        monte_carlo = float(np.sqrt((errors.astype(np.float64) ** 2).sum()) / count)
    spread = None
    if count > 1 and np.isfinite(values).all():
        spread = float(values.std(ddof=1) / math.sqrt(count))
    return Figure(float(values.mean()), spread, monte_carlo)


def _as_an_epoch(term: np.ndarray, recipe: Recipe) -> float:
    term, size = term.astype(np.float64), recipe.batch_size
    join = np.sum if recipe.reduction == "sum" else np.mean
    batches = [join(term[i : i + size]) for i in range(0, len(term), size)]
    return float(np.sum(batches) if recipe.epoch_loss == "sum" else np.mean(batches))
