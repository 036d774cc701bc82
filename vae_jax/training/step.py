"""The training step, pure and not compiled; ``training/parallel.py`` compiles it.

Every example of a step has its own key, ``split(fold_in(key, step), batch_size)``: a resumed
run needs no saved key, and dividing the batch over more devices changes no noise.
"""

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, SupportsFloat, cast

import jax  # many of its functions have no full hints
import jax.numpy as jnp
import optax  # without stubs

from vae_jax.corruption import corrupt
from vae_jax.data.pixels import scale_pixels
from vae_jax.distributions import example_noise
from vae_jax.layers.collectives import axis_size, psum, shard
from vae_jax.objectives import Batch, Loss
from vae_jax.recipe import Corruption, Recipe, parse_corruption
from vae_jax.spec import ModelSpec
from vae_jax.training.state import TrainState
from vae_jax.typing import AnyArray, Key, Noise, Tree

Metrics = dict[str, jax.Array]
TrainStep = Callable[..., tuple[TrainState, Metrics]]
Optimizer = optax.GradientTransformation
OnNonfinite = Literal["tell", "skip", "stop"]
_Update = tuple[Tree, Tree, optax.OptState]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Conversion of a batch of stored images into the inputs of a loss.

    Attributes:
        latent_size: the width of the noise; None for a model that takes none.
        pixel_range: the model's values of black and white.
        num_classes: the number of labels that the model takes; 0 for none.
        corruption: the corruption of the encoded images; the target stays clean.
        noise_scale: the standard deviation of the noise; 0 decodes the posterior means.
        axis_name: the device axis under ``pmap``, where each device has its part of the batch.
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
        """Return the inputs for a registered model trained by a recipe."""
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
        given: dict[str, AnyArray] = {**batch}
        given["image"] = cast(jax.Array, scale_pixels(batch["image"], self.pixel_range))
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
    optimizer: Optimizer,
    inputs: Inputs,
    *,
    on_nonfinite: OnNonfinite = "tell",
) -> TrainStep:
    """Return the step ``(state, batch, key, going=True) -> (state, metrics)``.

    Args:
        loss: the result of ``vae_jax.make_loss``, with the ``axis_name`` of ``inputs``.
        optimizer: the result of ``vae_jax.make_optimizer``.
        inputs: turns a batch into the loss's inputs.
        on_nonfinite: how to treat a step whose loss or gradient is not finite. ``tell``: update
            all the same, and only report it in ``metrics["finite"]``. ``skip``: count the step,
            and change nothing else. ``stop``: change nothing, in this step and in every later one
            that is given its ``metrics["going"]``.

    Returns:
        The step. ``metrics`` holds the loss and its terms, ``gradient_norm``, ``finite`` (whether
        the loss and the gradient are) and ``going`` (whether to take the next step).
    """
    value_and_grad = jax.value_and_grad(loss, has_aux=True)

    def train_step(
        state: TrainState, batch: Batch, key: Key, going: AnyArray | bool = True
    ) -> tuple[TrainState, Metrics]:
        given, noise = inputs(batch, state.step, key)
        (total, (metrics, batch_stats)), grads = value_and_grad(
            state.params, state.batch_stats, given, noise, step=state.step
        )
        # Under pmap each device has only the sums over its own examples.
        total, grads, metrics = psum((total, grads, metrics), inputs.axis_name)

        # Adam's second moment holds the squares, so their sum must not overflow either.
        squares = jnp.stack([_sum_of_squares(g) for g in jax.tree.leaves(grads)])
        gradient_norm = jnp.sqrt(squares.sum())
        finite = jnp.isfinite(total) & jnp.isfinite(gradient_norm)

        def update() -> _Update:
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = cast(Tree, optax.apply_updates(state.params, updates))
            return params, batch_stats, opt_state

        if on_nonfinite == "tell":
            new, taken, going = update(), 1, finite
        else:
            going = jnp.asarray(finite & going if on_nonfinite == "stop" else True)
            # jnp.where would cost a third of face_vae's step on CPU; lax.cond costs 0 to 9 %.
            new = cast(_Update, jax.lax.cond(finite & going, update, lambda: state[1:]))
            taken = going.astype(jnp.int32)

        metrics |= {"gradient_norm": gradient_norm, "finite": finite, "going": going}
        return TrainState(state.step + taken, *new), metrics

    return train_step


def _sum_of_squares(x: AnyArray) -> jax.Array:
    """Return the sum of squares as a dot product, which XLA on CPU computes faster than a sum."""
    axes = tuple(range(x.ndim))
    return jax.lax.dot_general(x, x, ((axes, axes), ((), ())))
