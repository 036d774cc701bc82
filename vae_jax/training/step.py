"""The training step, pure and not compiled; ``training/parallel.py`` compiles it.

The noise of a step comes from one key an example, ``split(fold_in(key, step), batch)``: a resumed
run needs no saved key, and sharding the batch over more devices changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, SupportsFloat

import jax
import jax.numpy as jnp
import optax

from vae_jax.corruption import corrupt
from vae_jax.data.pixels import scale_pixels
from vae_jax.distributions import example_noise
from vae_jax.layers import across
from vae_jax.models import get_spec
from vae_jax.objectives import Batch, Loss
from vae_jax.recipe import Corruption, Recipe, parse_corruption
from vae_jax.training.state import TrainState
from vae_jax.typing import AnyArray, Key, Noise

Metrics = dict[str, jax.Array]
TrainStep = Callable[..., tuple[TrainState, Metrics]]
Inputs = Callable[[Batch, Any, Key], tuple[Batch, Noise | None]]
OnNonfinite = Literal["tell", "skip", "stop"]


def make_inputs(
    *,
    latent_size: int | None,
    pixel_range: tuple[float, float] = (0.0, 1.0),
    num_classes: int = 0,
    corruption: Corruption | None = None,
    noise_scale: SupportsFloat = 1.0,
) -> Inputs:
    """What a loss is given of a batch at a step.

    Args:
        latent_size: width of the noise; None for a model that takes none.
        pixel_range: the model's values of black and white.
        num_classes: of the labels that the model takes; 0 for none.
        corruption: what is done to the images that are encoded; they stay the target.
        noise_scale: standard deviation of the noise; 0 decodes the posteriors' means.

    Returns:
        ``(batch, step, key) -> (batch, noise)``: of a batch of stored images (``image`` uint8
        [B, H, W, C], ``label`` int [B] where the model takes one, and perhaps ``mask`` [B]) and
        the run's key, the same for every step.
    """

    def inputs(batch: Batch, step: Any, key: Key) -> tuple[Batch, Noise | None]:
        noise, size = None, batch["image"].shape[0] * across.num_devices()
        step_key = jax.random.fold_in(key, step)
        given: dict[str, Any] = {**batch, "image": scale_pixels(batch["image"], pixel_range)}
        if num_classes:
            given["label"] = jax.nn.one_hot(batch["label"], num_classes)
        if corruption is not None:
            step_key, corruption_key = jax.random.split(step_key)
            keys = across.mine(jax.random.split(corruption_key, size))
            given["input"] = corrupt(corruption, keys, given["image"], pixel_range)
        if latent_size is not None:
            noise = example_noise(step_key, size, latent_size) * float(noise_scale)
        return given, noise

    return inputs


def inputs_of(name: str, model: Any, recipe: Recipe) -> dict[str, Any]:
    """The arguments of ``make_inputs`` that a registered model takes by its recipe."""
    spec = get_spec(name)
    return {
        "latent_size": model.latent_size if spec.variational else None,
        "pixel_range": spec.pixel_range,
        "num_classes": spec.num_classes,
        "corruption": None if recipe.corrupt == "none" else parse_corruption(recipe.corrupt),
        "noise_scale": recipe.noise,
    }


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    on_nonfinite: OnNonfinite = "tell",
    **settings: Any,
) -> TrainStep:
    """The step ``(state, batch, key, going=True) -> (state, metrics)``.

    Args:
        loss: of ``vae_jax.make_loss``.
        optimizer: of ``vae_jax.make_optimizer``.
        on_nonfinite: what becomes of an update whose loss or gradient is not finite. ``tell``: it
            is made, and the metrics tell. ``skip``: it is left out, and the step counted.
            ``stop``: the state stays as it is, by this step and all those after it that are given
            its ``metrics["going"]``.
        **settings: of ``make_inputs``.

    Returns:
        The step. ``metrics`` holds the loss and its terms, ``finite`` (whether loss and gradient
        are) and ``going`` (whether the next step may be taken).
    """
    gradient = jax.value_and_grad(loss, has_aux=True)
    inputs = make_inputs(**settings)

    def train_step(
        state: TrainState, batch: Batch, key: Key, going: Any = True
    ) -> tuple[TrainState, Metrics]:
        given, noise = inputs(batch, state.step, key)
        (total, (metrics, batch_stats)), grads = gradient(
            state.params, state.batch_stats, given, noise, step=state.step
        )
        total, grads, metrics = across.total((total, grads, metrics))
        # Not finite, too, where Adam's second moment would not be.
        squares = jnp.stack([_sum_of_squares(g) for g in jax.tree.leaves(grads)])
        finite = jnp.isfinite(total) & jnp.isfinite(squares).all()

        def update() -> tuple[Any, Any, Any]:
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            return optax.apply_updates(state.params, updates), batch_stats, opt_state

        if on_nonfinite == "tell":
            new, one = update(), 1
        else:
            # Chosen with `where` it would cost a third of face_vae's step on CPU, so 0 to 9 %.
            going = finite & going if on_nonfinite == "stop" else jnp.bool(True)
            new = jax.lax.cond(finite & going, update, lambda: state[1:])
            one = going.astype(jnp.int32)
        metrics |= {"finite": finite, "going": finite if on_nonfinite == "tell" else going}
        return TrainState(state.step + one, *new), metrics

    return train_step


def _sum_of_squares(x: AnyArray) -> jax.Array:
    """As a product, which XLA on CPU computes faster than a reduction to one number."""
    axes = tuple(range(x.ndim))
    return jax.lax.dot_general(x, x, ((axes, axes), ((), ())))
