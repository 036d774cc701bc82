"""Feeding of an epoch's batches to the compiled step.

Images that fit on the device stay there as bytes, and many steps are one call: on accelerators,
and on CPU for models without convolutions, where dispatch takes a third of a step's time
(digits_ae: 0.97 ms per step one by one, 0.69 ms in a loop). Otherwise a separate thread fetches the
batches and copies them to the device while the previous step runs; each of several hosts fetches
only its own rows. Both take the same batches in the same order, and neither recompiles for the last
batch.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import Literal, TypedDict

import jax  # many of its functions have no full hints
import numpy as np

from vae_jax.data import Split, batch_rows, iterate_batches, prefetch
from vae_jax.data.decode import Pictures
from vae_jax.data.prefetch import Prefetch
from vae_jax.models import has_convolutions
from vae_jax.models.base import Autoencoder
from vae_jax.objectives import Batch, Loss
from vae_jax.recipe import Recipe
from vae_jax.training.devices import make_parallel
from vae_jax.training.parallel import Parallel
from vae_jax.training.state import TrainState
from vae_jax.training.step import Inputs, Metrics, Optimizer, make_train_step
from vae_jax.typing import Key

RESIDENT_BYTES = 2**31  # images up to this size are assumed to fit beside a model
LONGEST_CALL = 1024  # steps per call


class _Order(TypedDict):
    batch_size: int
    seed: int
    epoch: int
    drop_remainder: bool
    width: int


class EpochSteps:
    """The steps of a run's epochs.

    Args:
        loss: the result of ``make_loss``.
        optimizer: the recipe's optimiser.
        split: the images.
        recipe: determines the batches and their order.
        inputs: turns a batch into the loss's inputs.
        takes_label: whether batches include labels.
        key: the run's key, the same for every step.
        resident: whether the images stay on the device; see ``stays_on_device``.
        parallel: the devices; default: one.
        on_nonfinite: ``stop`` before an update that is not finite, or ``skip`` it.
    """

    def __init__(
        self,
        loss: Loss,
        optimizer: Optimizer,
        split: Split,
        recipe: Recipe,
        inputs: Inputs,
        *,
        takes_label: bool,
        key: Key,
        resident: bool,
        parallel: Parallel | None = None,
        on_nonfinite: Literal["stop", "skip"] = "stop",
    ):
        self._split, self._recipe, self._key = split, recipe, key
        self._takes_label, self._resident = takes_label, resident
        self._parallel = parallel or make_parallel()
        self._width = self._parallel.width(recipe.batch_size, recipe.batch_norm_groups)
        step = make_train_step(loss, optimizer, inputs, on_nonfinite=on_nonfinite)
        self._epoch, self._next = 0, 0
        self._plan: Batch = {}
        self._batches: Prefetch[Batch] | None = None
        if resident:
            self._loop = self._parallel.compile_loop(step, LONGEST_CALL)
            data = {"image": np.asarray(split.images)}
            self._data = self._parallel.put_data(
                data | ({"label": split.labels} if takes_label else {})
            )
        else:
            self._step = self._parallel.compile_step(step)
            self._going = self._parallel.put_data(np.True_)

    def run(
        self, state: TrainState, epoch: int, first: int, count: int
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        """Take ``count`` steps of an epoch, starting at step ``first``.

        Returns:
            The state and the steps' metrics, [count]. If a step is not finite and the run stops
            there, the metrics end with that step's and the state is the one before it.
        """
        if (epoch, first) != (self._epoch, self._next):
            self._begin(epoch, first)
        self._next = first + count
        state, metrics = self._take(state, first, count)
        stopped = np.flatnonzero(~metrics["going"])
        if len(stopped):
            self._next = -1
            metrics = {name: values[: stopped[0] + 1] for name, values in metrics.items()}
        return state, metrics

    def close(self) -> None:
        """Stop the thread that fetches batches."""
        if self._batches is not None:
            self._batches.close()

    def _take(
        self, state: TrainState, first: int, count: int
    ) -> tuple[TrainState, dict[str, np.ndarray]]:
        if self._resident:
            assert count <= LONGEST_CALL, f"{count} steps in a call; at most {LONGEST_CALL}"
            bounds = np.int32(first), np.int32(first + count)
            state, metrics = self._loop(state, self._data, self._plan, *bounds, self._key)
            metrics = jax.device_get(metrics)
            return state, {name: values[:count] for name, values in metrics.items()}
        kept: list[Metrics] = []
        going, batches = self._going, self._batches
        assert batches is not None
        for _ in range(count):
            state, metrics = self._step(state, next(batches), self._key, going)
            going = metrics["going"]
            kept.append(metrics)
        values: list[dict[str, np.ndarray]] = jax.device_get(kept)
        return state, {name: np.array([one[name] for one in values]) for name in values[0]}

    def _begin(self, epoch: int, first: int) -> None:
        self.close()
        self._epoch, recipe = epoch, self._recipe
        order = _Order(
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            epoch=epoch,
            drop_remainder=recipe.drop_remainder,
            width=self._width,
        )
        if not self._resident:
            shard = jax.process_index(), jax.process_count()
            batches = iterate_batches(self._split, start=first, shard=shard, **order)
            self._batches = prefetch(batches, self._to_device)
            return
        rows, mask = batch_rows(len(self._split), **order)
        plan = {"rows": rows.astype(np.int32)} | ({} if mask is None else {"mask": mask})
        self._plan = self._parallel.put_plan(plan)

    def _to_device(self, batch: Batch) -> Batch:
        return self._parallel.put_batch(
            {k: v for k, v in batch.items() if self._takes_label or k != "label"}
        )


def stays_on_device(model: Autoencoder, split: Split) -> bool:
    """Return whether the images should stay on the device, where the steps run as a loop."""
    if isinstance(split.images, Pictures) or split.images.nbytes > RESIDENT_BYTES:
        return False  # streamed from disk, or too large
    if jax.process_count() > 1:
        return False  # each host reads only its own rows
    return jax.default_backend() != "cpu" or not has_convolutions(model)
