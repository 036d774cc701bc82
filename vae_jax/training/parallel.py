"""Three ways to run the pure step on devices: the one file that knows ``jit``, meshes and ``pmap``.

In all three the step is the same function of the state, the whole batch and the key.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Literal, TypeVar, cast

import jax  # many of its functions have no full hints
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from vae_jax.errors import UserError
from vae_jax.objectives import Batch
from vae_jax.training.scan_steps import scan_steps
from vae_jax.training.state import TrainState
from vae_jax.training.step import Metrics, TrainStep
from vae_jax.typing import AnyArray, Device, Tree

Mode = Literal["jit", "sharded", "pmap"]
MODES: tuple[Mode, ...] = ("jit", "sharded", "pmap")
SHARDED_SIZE = 2**20  # numbers, from which on a parameter is divided along the model axis

_DATA, _MODEL = "data", "model"
Axes = tuple[int | None, ...]
_Tree = TypeVar("_Tree")


class Parallel:
    """The devices of a run, and how they share its step.

    Attributes:
        mode: one of ``MODES``.
        axis_name: of ``make_loss`` and ``Inputs``: the axis to sum over under ``pmap``, else None.
        num_devices: over all hosts.
        num_shards: how many parts the batch is divided into.
    """

    mode: ClassVar[Mode]
    axis_name: ClassVar[str | None] = None

    def __init__(self, devices: Sequence[Device], model_axis: int = 1):
        self.num_devices, self.num_shards = len(devices), len(devices) // model_axis
        self._local = devices
        if jax.process_count() > 1:
            self._local = cast(list[Device], jax.local_devices())
        self._mesh = Mesh(np.array(devices).reshape(-1, model_axis), (_DATA, _MODEL))
        self._whole = NamedSharding(self._mesh, PartitionSpec())

    def width(self, batch_size: int, groups: int = 1) -> int:
        """Return a batch's rows with the padding that lets devices and batch norm groups share it.

        Raises:
            UserError: the devices cannot have the same number of whole groups.
        """
        if groups > 1 and groups % self.num_shards:
            raise UserError(
                f"batch_norm_groups {groups} on {self.num_shards} devices; expected 1, or a "
                f"multiple of {self.num_shards}"
            )
        shares = max(groups, self.num_shards)
        return -(-batch_size // shares) * shares

    # The state, and trees like it

    def put_state(self, state: _Tree) -> _Tree:
        """Put a tree of arrays, the same on every host, on the devices."""
        return jax.tree.map(self._put_leaf, state)

    def shapes(self, state: Tree) -> Tree:
        """Return the shapes and shardings with which Orbax restores a state that was saved."""
        return jax.tree.map(self._shape, state)

    def copy(self, state: _Tree) -> _Tree:
        """Return a copy that the next step does not overwrite, for a checkpoint."""
        return self.gather(state)

    def gather(self, state: _Tree) -> _Tree:
        """Return the whole state as NumPy arrays, on every host; all of them must call it."""
        if jax.process_count() > 1:
            return jax.tree.map(np.asarray, multihost_utils.process_allgather(state, tiled=True))
        return jax.tree.map(np.array, state)

    def on_one(self, state: _Tree) -> _Tree:
        """Return the state where one device, or NumPy, has all of it; all hosts must call it."""
        return self.gather(state)

    def step_of(self, state: TrainState) -> int:
        """Return how many steps the state has taken."""
        return int(np.ravel(state.step.addressable_data(0))[0])

    # Batches

    def put_batch(self, batch: Batch) -> Batch:
        """Put this host's rows of a batch on its devices."""
        return jax.tree.map(partial(self._put_rows, axis=0), batch)

    def put_plan(self, plan: Batch) -> Batch:
        """Put the rows [steps, B] of many batches, and their masks, on the devices."""
        return jax.tree.map(partial(self._put_rows, axis=1), plan)

    def put_data(self, data: _Tree) -> _Tree:
        """Put arrays on every device as a whole."""
        return jax.device_put(data, self._whole)

    # Programs

    def compile_step(self, train_step: TrainStep) -> TrainStep:
        """Return the step for the devices; its state is donated to the one it returns."""
        return self._compile(train_step, (0, 0, None, None))

    def compile_loop(self, train_step: TrainStep, size: int) -> TrainStep:
        """Return ``scan_steps`` of the step for the devices; its state is donated too."""
        return self._compile(scan_steps(train_step, size), (0, None, 0, None, None, None))

    def _compile(self, function: TrainStep, axes: Axes) -> TrainStep:
        compiled = self._jit(function, axes)
        if jax.process_count() == 1 or jax.default_backend() != "cpu":
            return compiled

        # Between processes the sums of several steps at once can wait for each other for ever.
        def one_at_a_time(*args: object) -> tuple[TrainState, Metrics]:
            return cast(tuple[TrainState, Metrics], jax.block_until_ready(compiled(*args)))

        return one_at_a_time

    def _jit(self, function: TrainStep, axes: Axes) -> TrainStep:
        raise NotImplementedError

    def _put_leaf(self, leaf: AnyArray) -> jax.Array:
        raise NotImplementedError

    def _put_rows(self, rows: np.ndarray, axis: int) -> jax.Array:
        raise NotImplementedError

    def _shape(self, leaf: AnyArray) -> jax.ShapeDtypeStruct:
        raise NotImplementedError


class OneDevice(Parallel):
    """``jit``: one device of one host has everything."""

    mode: ClassVar[Mode] = "jit"

    def on_one(self, state: _Tree) -> _Tree:
        """Return the state as it is."""
        return state

    def put_data(self, data: _Tree) -> _Tree:
        """Put arrays on the device."""
        return jax.device_put(data, self._local[0])

    def _jit(self, function: TrainStep, axes: Axes) -> TrainStep:
        return jax.jit(function, donate_argnums=0)

    def _put_leaf(self, leaf: AnyArray) -> jax.Array:
        return jax.device_put(leaf, self._local[0])

    def _put_rows(self, rows: np.ndarray, axis: int) -> jax.Array:
        return jax.device_put(rows, self._local[0])

    def _shape(self, leaf: AnyArray) -> jax.ShapeDtypeStruct:
        sharding = SingleDeviceSharding(self._local[0])
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


class OnMesh(Parallel):
    """``sharded``: ``jit`` over a mesh, in which XLA puts the sums over devices.

    The batch is divided along the ``data`` axis, and large parameters with their Adam moments
    along the ``model`` axis.
    """

    mode: ClassVar[Mode] = "sharded"

    def __init__(self, devices: Sequence[Device], model_axis: int = 1):
        super().__init__(devices, model_axis)
        # Without donation the results have memory of their own.
        self._copy: Callable[[object], object] = jax.jit(partial(jax.tree.map, jnp.copy))

    def copy(self, state: _Tree) -> _Tree:
        """Return a copy that is divided as the state is."""
        return cast(_Tree, jax.block_until_ready(self._copy(state)))

    def _jit(self, function: TrainStep, axes: Axes) -> TrainStep:
        def on_mesh(*args: object) -> tuple[TrainState, Metrics]:
            state, metrics = function(*args)
            shardings = jax.tree.map(self._sharding, state)
            return jax.lax.with_sharding_constraint((state, metrics), (shardings, self._whole))

        return jax.jit(on_mesh, donate_argnums=0)

    def _sharding(self, leaf: AnyArray) -> NamedSharding:
        """Return a leaf's sharding: large ones are divided along their longest divisible axis."""
        size, shape = self._mesh.shape[_MODEL], leaf.shape
        parts: list[str | None] = [None] * len(shape)
        divisible = [n for n in shape if n % size == 0]
        if size > 1 and math.prod(shape) >= SHARDED_SIZE and divisible:
            parts[shape.index(max(divisible))] = _MODEL
        return NamedSharding(self._mesh, PartitionSpec(*parts))

    def _put_leaf(self, leaf: AnyArray) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.sharding == self._sharding(leaf):
            return leaf  # as Orbax restores what no host has whole
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(leaf.shape, self._sharding(leaf), leaf.__getitem__)

    def _put_rows(self, rows: np.ndarray, axis: int) -> jax.Array:
        spec = PartitionSpec(*[None] * axis, _DATA)
        return jax.make_array_from_process_local_data(NamedSharding(self._mesh, spec), rows)

    def _shape(self, leaf: AnyArray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._sharding(leaf))


class PerDevice(Parallel):
    """``pmap``: every device has the whole state and runs the step on its part of the batch.

    The sums over devices are by axis name (``layers/collectives.py``). Leaves have a leading axis
    of devices.
    """

    mode: ClassVar[Mode] = "pmap"
    axis_name: ClassVar[str | None] = _DATA

    def gather(self, state: _Tree) -> _Tree:
        """Return the first device's state, which every other has too, as NumPy arrays."""

        def first(leaf: jax.Array) -> np.ndarray:
            return np.array(leaf.addressable_data(0)[0])

        return jax.tree.map(first, state)

    def _jit(self, function: TrainStep, axes: Axes) -> TrainStep:
        devices = None if jax.process_count() > 1 else self._local
        return jax.pmap(
            function, _DATA, in_axes=axes, out_axes=(0, None), devices=devices, donate_argnums=0
        )

    def _put_leaf(self, leaf: AnyArray) -> jax.Array:
        return self._put_stacked(np.broadcast_to(leaf, (len(self._local), *leaf.shape)))

    def _put_rows(self, rows: np.ndarray, axis: int) -> jax.Array:
        return self._put_stacked(np.stack(np.split(rows, len(self._local), axis)))

    def _put_stacked(self, stacked: np.ndarray) -> jax.Array:
        mesh = Mesh(np.array(self._local), (_DATA,))
        return jax.device_put(stacked, NamedSharding(mesh, PartitionSpec(_DATA)))

    def _shape(self, leaf: AnyArray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype, sharding=self._whole)
