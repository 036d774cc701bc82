"""The training step, pure and not compiled; ``training/parallel.py`` compiles it.

The noise of a step comes from one key an example, ``split(fold_in(key, step), batch)``: a resumed
run needs no saved key, and sharding the batch over more devices changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsFloat

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vae_jax.corruption import Corruption, corrupt
from vae_jax.objectives import Batch, Loss
from vae_jax.training.state import TrainState
from vae_jax.typing import AnyArray, Image, Key, Noise

Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch, Key], tuple[TrainState, Metrics]]

_SHORT_255TH = np.float32(round(2**23 / 255) / 2**23)
_REST_255TH = np.float32(1 / 255 - float(_SHORT_255TH))


def scale_pixels(image: AnyArray, pixel_range: tuple[float, float]) -> Image:
    """Stored pixels 0 to 255 as float32 in a model's range; ``ToTensor``'s bits for (0, 1)."""
    low, high = pixel_range
    # XLA would divide by 255 by multiplying by its reciprocal, which is another float for some
    # pixels. With the reciprocal in two parts, the first short enough for an exact product, all 256
    # are right; a table of them takes up to twice as long.
    x = jnp.asarray(image).astype(jnp.float32)
    unit = x * _SHORT_255TH + x * _REST_255TH
    return unit * np.float32(high - low) + np.float32(low)


def example_noise(key: Key, batch_size: int, latent_size: int) -> Noise:
    """Standard normal noise, [batch_size, latent_size], from one key an example."""
    keys = jax.random.split(key, batch_size)
    return jax.vmap(lambda k: jax.random.normal(k, (latent_size,)))(keys)


def make_train_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    latent_size: int | None,
    pixel_range: tuple[float, float] = (0.0, 1.0),
    num_classes: int = 0,
    corruption: Corruption | None = None,
    noise_scale: SupportsFloat = 1.0,
) -> TrainStep:
    """The step ``(state, batch, key) -> (state, metrics)``.

    Args:
        loss: of ``vae_jax.make_loss``.
        optimizer: of ``vae_jax.make_optimizer``.
        latent_size: width of the noise; None for a model that takes none.
        pixel_range: the model's values of black and white.
        num_classes: of the labels that the model takes; 0 for none.
        corruption: what is done to the images that are encoded; they stay the target.
        noise_scale: standard deviation of the noise; 0 decodes the posteriors' means.

    Returns:
        A function of the state, a batch of stored images (``image`` uint8 [B, H, W, C], ``label``
        int [B] where the model takes one, and perhaps ``mask`` [B]) and the run's key, the same
        for every step.
    """
    gradient = jax.value_and_grad(loss, has_aux=True)

    def train_step(state: TrainState, batch: Batch, key: Key) -> tuple[TrainState, Metrics]:
        noise, batch_size = None, batch["image"].shape[0]
        step_key = jax.random.fold_in(key, state.step)
        inputs: dict[str, Any] = {**batch, "image": scale_pixels(batch["image"], pixel_range)}
        if num_classes:
            inputs["label"] = jax.nn.one_hot(batch["label"], num_classes)
        if corruption is not None:
            step_key, corruption_key = jax.random.split(step_key)
            keys = jax.random.split(corruption_key, batch_size)
            inputs["input"] = corrupt(corruption, keys, inputs["image"], pixel_range)
        if latent_size is not None:
            noise = example_noise(step_key, batch_size, latent_size) * float(noise_scale)
        (_, (metrics, batch_stats)), grads = gradient(
            state.params, state.batch_stats, inputs, noise, step=state.step
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return train_step
