"""How the batches of an epoch reach the compiled step.

Images that fit on the device stay there as bytes, and many steps are one call: on accelerators,
and on CPU for models without convolutions, where the dispatch of a step takes a third of its time
(digits_ae: 0.97 ms a step one by one, 0.69 ms in a loop). Otherwise a thread of its own fetches the
batches and copies them to the device while the step before them runs. Both take the same batches in
the same order, and neither compiles anything again for the last one.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import numpy as np

from vae_jax.data import Split, batch_rows, iterate_batches, prefetch
from vae_jax.models import has_convolutions
from vae_jax.recipe import Recipe
from vae_jax.training.parallel import compile_loop, compile_step
from vae_jax.training.state import TrainState
from vae_jax.training.step import Metrics, TrainStep
from vae_jax.typing import Key

RESIDENT_BYTES = 2**31  # of images that a device is trusted to hold beside a model
LONGEST_CALL = 1024  # steps


class EpochSteps:
    """The steps of a run's epochs.

    Args:
        train_step: not compiled.
        split: the images.
        recipe: gives the batches and their order.
        takes_label: whether the step wants labels.
        key: of the run, for every step.
        resident: whether the images stay on the device, as ``stays_on_device`` advises.
    """

    def __init__(
        self,
        train_step: TrainStep,
        split: Split,
        recipe: Recipe,
        *,
        takes_label: bool,
        key: Key,
        resident: bool,
    ):
        self._split, self._recipe, self._key = split, recipe, key
        self._takes_label, self._resident = takes_label, resident
        self._epoch, self._next, self._plan = 0, 0, {}
        self._batches: Any = None
        if resident:
            self._loop = compile_loop(train_step, LONGEST_CALL)
            self._data = {"image": jax.device_put(np.asarray(split.images))}
            if takes_label:
                self._data["label"] = jax.device_put(split.labels)
        else:
            self._step = compile_step(train_step)

    def run(
        self, state: TrainState, epoch: int, first: int, count: int
    ) -> tuple[TrainState, list[Metrics]]:
        """Takes ``count`` steps of an epoch, number ``first`` the first of them.

        Returns:
            The state and the steps' metrics, still on the device; each is a number, or an array of
            as many as there are steps, with zeros behind.
        """
        if (epoch, first) != (self._epoch, self._next):
            self._begin(epoch, first)
        self._next = first + count
        if self._resident:
            assert count <= LONGEST_CALL, f"{count} steps in a call; at most {LONGEST_CALL}"
            bounds = np.int32(first), np.int32(first + count)
            state, metrics = self._loop(state, self._data, self._plan, *bounds, self._key)
            return state, [metrics]
        kept = []
        for _ in range(count):
            state, metrics = self._step(state, next(self._batches), self._key)
            kept.append(metrics)
        return state, kept

    def close(self) -> None:
        """Stops the thread that fetches batches."""
        if self._batches is not None:
            self._batches.close()

    def _begin(self, epoch: int, first: int) -> None:
        self.close()
        self._epoch, recipe = epoch, self._recipe
        order: dict[str, Any] = {
            "batch_size": recipe.batch_size,
            "seed": recipe.seed,
            "epoch": epoch,
            "drop_remainder": recipe.drop_remainder,
        }
        if not self._resident:
            batches = iterate_batches(self._split, start=first, **order)
            self._batches = prefetch(batches, self._to_device)
            return
        rows, mask = batch_rows(len(self._split), **order)
        plan = {"rows": rows.astype(np.int32)} | ({} if mask is None else {"mask": mask})
        self._plan = jax.device_put(plan)

    def _to_device(self, batch: Any) -> Any:
        return jax.device_put({k: v for k, v in batch.items() if self._takes_label or k != "label"})


def stays_on_device(model: nn.Module, split: Split) -> bool:
    """Whether the images are to lie on the device, the steps being a loop there."""
    if not isinstance(split.images, np.ndarray) or split.images.nbytes > RESIDENT_BYTES:
        return False  # stream: or too many
    return jax.default_backend() != "cpu" or not has_convolutions(model)
