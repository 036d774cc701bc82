"""The training step, pure and not compiled; ``training/parallel.py`` compiles it.

Every example of a step has a key of its own, ``split(fold_in(key, step), batch_size)``: a resumed
run needs no saved key, and dividing the batch over more devices changes no noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, SupportsFloat

import jax
import jax.numpy as jnp
import optax

from vae_jax.corruption import corrupt
from vae_jax.data.pixels import scale_pixels
from vae_jax.distributions import example_noise
from vae_jax.layers.collectives import axis_size, psum, shard
from vae_jax.objectives import Batch, Loss
from vae_jax.recipe import Corruption, Recipe, parse_corruption
from vae_jax.spec import ModelSpec
from vae_jax.training.state import TrainState
from vae_jax.typing import AnyArray, Key, Noise

Metrics = dict[str, jax.Array]
TrainStep = Callable[..., tuple[TrainState, Metrics]]
OnNonfinite = Literal["tell", "skip", "stop"]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Turns a batch of stored images into what a loss takes.

    Attributes:
        latent_size: width of the noise; None for a model that takes none.
        pixel_range: the model's values of black and white.
        num_classes: of the labels that the model takes; 0 for none.
        corruption: what is done to the images that are encoded; they stay the target.
        noise_scale: standard deviation of the noise; 0 decodes the posterior means.
        axis_name: the axis of devices under ``pmap``, each of which has its part of the batch.
    """

    latent_size: int | None
    pixel_range: tuple[float, float] = (0.0, 1.0)
    num_classes: int = 0
    corruption: Corruption | None = None
    noise_scale: SupportsFloat = 1.0
    axis_name: str | None = None

    @classmethod
    def of(
        cls, spec: ModelSpec, latent_size: int, recipe: Recipe, axis_name: str | None = None
    ) -> Inputs:
        """Return what a registered model takes when it is trained by a recipe."""
        return cls(
            latent_size if spec.variational else None,
            spec.pixel_range,
            spec.num_classes,
            None if recipe.corrupt == "none" else parse_corruption(recipe.corrupt),
            recipe.noise,
            axis_name,
        )

    def __call__(self, batch: Batch, step: AnyArray, key: Key) -> tuple[Batch, Noise | None]:
        """Return the loss's batch and noise.

        Args:
            batch: ``image`` uint8 [B, H, W, C], ``label`` int [B] where the model takes one, and
                perhaps ``mask`` [B].
            step: the number of steps taken before this one.
            key: the run's key, the same for every step.
        """
        size = batch["image"].shape[0] * axis_size(self.axis_name)
        step_key = jax.random.fold_in(key, step)
        given = {**batch, "image": scale_pixels(batch["image"], self.pixel_range)}
        if self.num_classes:
            given["label"] = jax.nn.one_hot(batch["label"], self.num_classes)
        if self.corruption is not None:
            step_key, corruption_key = jax.random.split(step_key)
            keys = shard(jax.random.split(corruption_key, size), self.axis_name)
            given["input"] = corrupt(self.corruption, keys, given["image"], self.pixel_range)
        if self.latent_size is None:
            return given, None
        noise = example_noise(step_key, size, self.latent_size, self.axis_name)
        return given, noise * float(self.noise_scale)


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    inputs: Inputs,
    *,
    on_nonfinite: OnNonfinite = "tell",
) -> TrainStep:
    """Return the step ``(state, batch, key, going=True) -> (state, metrics)``.

    Args:
        loss: of ``vae_jax.make_loss``, with the ``axis_name`` of ``inputs``.
        optimizer: of ``vae_jax.make_optimizer``.
        inputs: what the loss is given of a batch.
        on_nonfinite: what becomes of an update whose loss or gradient is not finite. ``tell``: it
            is made, and only ``metrics["finite"]`` says so. ``skip``: the step is counted, and
            changes nothing else. ``stop``: it is not even counted, nor is any later step that is
            given its ``metrics["going"]``.

    Returns:
        The step. ``metrics`` holds the loss and its terms, ``gradient_norm``, ``finite`` (whether
        loss and gradient are) and ``going`` (whether the next step may be taken).
    """
    value_and_grad = jax.value_and_grad(loss, has_aux=True)

    def train_step(
        state: TrainState, batch: Batch, key: Key, going: AnyArray | bool = True
    ) -> tuple[TrainState, Metrics]:
        given, noise = inputs(batch, state.step, key)
        (total, (metrics, batch_stats)), grads = value_and_grad(
            state.params, state.batch_stats, given, noise, step=state.step
        )
        # Under pmap each device has the sums of its own examples.
        total, grads, metrics = psum((total, grads, metrics), inputs.axis_name)

        # Adam's second moment holds the squares: where they overflow it is not finite either.
        squares = jnp.stack([_sum_of_squares(g) for g in jax.tree.leaves(grads)])
        finite = jnp.isfinite(total) & jnp.isfinite(squares).all()

        def update() -> tuple[Any, Any, Any]:
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            return optax.apply_updates(state.params, updates), batch_stats, opt_state

        if on_nonfinite == "tell":
            new, taken, going = update(), 1, finite
        else:
            going = jnp.asarray(finite & going if on_nonfinite == "stop" else True)
            # jnp.where would cost a third of face_vae's step on CPU; lax.cond costs 0 to 9 %.
            new = jax.lax.cond(finite & going, update, lambda: state[1:])
            taken = going.astype(jnp.int32)

        metrics |= {"gradient_norm": jnp.sqrt(squares.sum()), "finite": finite, "going": going}
        return TrainState(state.step + taken, *new), metrics

    return train_step


def _sum_of_squares(x: AnyArray) -> jax.Array:
    """Return the sum as a product, which XLA on CPU computes faster than a reduction."""
    axes = tuple(range(x.ndim))
    return jax.lax.dot_general(x, x, ((axes, axes), ((), ())))
