"""How the pure step meets the devices: the one file that knows ``jit``, meshes and ``pmap``.

In all three the step is the same function of the state, the whole batch and the key. Under ``jit``
one device has everything. ``sharded`` is ``jit`` over a mesh: the batch is divided along its
``data`` axis, large parameters with their Adam moments along its ``model`` axis, and XLA puts in
the sums over devices. Under ``pmap`` every device has the whole state and runs the step on its
part of the batch, with the sums by axis name (``layers/collectives.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from vae_jax.errors import UserError
from vae_jax.objectives import Batch
from vae_jax.training.scan_steps import scan_steps
from vae_jax.training.state import TrainState
from vae_jax.training.step import TrainStep

Mode = Literal["jit", "sharded", "pmap"]
MODES: tuple[Mode, ...] = ("jit", "sharded", "pmap")
SHARDED_SIZE = 2**20  # numbers, from which on a parameter is divided along the model axis

_DATA, _MODEL = "data", "model"


class Parallel:
    """The devices of a run, and how they share its step.

    Attributes:
        mode: ``jit``, ``sharded`` or ``pmap``.
        num_devices: over all hosts.
        num_shards: how many of them the batch is divided over.
        axis_name: of ``make_loss`` and ``Inputs``: the axis to sum over under ``pmap``, else None.
    """

    def __init__(self, mode: Mode = "jit", num_devices: int | None = None, model_axis: int = 1):
        """Takes the first devices of all hosts.

        Args:
            mode: as above.
            num_devices: default: 1 for ``jit``, else all there are.
            model_axis: devices that share the large parameters; more than 1 is for ``sharded``.

        Raises:
            UserError: there are not so many devices, or they cannot be divided so.
        """
        found, hosts = jax.devices(), jax.process_count()
        if num_devices is None:
            num_devices = 1 if mode == "jit" else len(found)
        if not 1 <= num_devices <= len(found):
            raise UserError(
                f"--devices {num_devices}, but there are {len(found)} ({found[0].device_kind}); for"
                f" virtual ones on CPU set XLA_FLAGS=--xla_force_host_platform_device_count=N"
            )
        if mode == "jit" and num_devices * hosts > 1:
            raise UserError(
                f"--parallel jit is for one device of one host, not {num_devices} of {hosts}; "
                "choose sharded or pmap"
            )
        if hosts > 1 and num_devices < len(found):
            raise UserError(
                f"--devices {num_devices} on {hosts} hosts; expected all {len(found)}: leave it out"
            )
        local = num_devices // hosts
        if model_axis > 1 and (mode != "sharded" or local % model_axis):
            raise UserError(
                f"--model-axis {model_axis} with --parallel {mode} and {local} devices a host; "
                "expected --parallel sharded and a number that divides them"
            )
        self.mode, self.num_devices = mode, num_devices
        self.axis_name = _DATA if mode == "pmap" else None
        self.num_shards = num_devices // model_axis
        devices = found[:num_devices]
        self._local = jax.local_devices() if hosts > 1 else devices
        self._mesh = Mesh(np.array(devices).reshape(-1, model_axis), (_DATA, _MODEL))
        self._whole = NamedSharding(self._mesh, PartitionSpec())
        self._copy: Any = None

    def width(self, batch_size: int, groups: int = 1) -> int:
        """Rows of a batch with the padding that lets devices, and groups of batch norm, share it.

        Raises:
            UserError: the groups are neither one nor whole ones a device.
        """
        if groups > 1 and groups % self.num_shards:
            raise UserError(
                f"batch_norm_groups {groups} on {self.num_shards} devices; expected 1, or a "
                f"multiple of {self.num_shards}"
            )
        shares = max(groups, self.num_shards)
        return -(-batch_size // shares) * shares

    # The state, and what is as large

    def put_state(self, state: Any) -> Any:
        """A tree of arrays, the same on every host, on the devices."""
        return jax.tree.map(self._put_leaf, state)

    def shapes(self, state: Any) -> Any:
        """What Orbax needs to restore a state as it is saved, each part where it belongs."""

        def shape(leaf: Any) -> jax.ShapeDtypeStruct:
            leaf = leaf[0] if self.mode == "pmap" else leaf
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._sharding(leaf.shape))

        return jax.tree.map(shape, state)

    def copy(self, state: Any) -> Any:
        """A copy that the next step does not overwrite, for a checkpoint: of one device or of
        ``pmap`` as NumPy arrays, of a mesh divided as the state is."""
        if self.mode != "sharded":
            return self.gather(state)
        if self._copy is None:  # without donation the results have memory of their own
            self._copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
        return jax.block_until_ready(self._copy(state))

    def gather(self, state: Any) -> Any:
        """The whole state as NumPy arrays, on every host; all of them must call it."""
        if self.mode == "pmap":
            return jax.tree.map(lambda leaf: np.array(leaf.addressable_data(0)[0]), state)
        if jax.process_count() > 1:
            return jax.tree.map(np.asarray, multihost_utils.process_allgather(state, tiled=True))
        return jax.tree.map(np.array, state)

    def on_one(self, state: Any) -> Any:
        """The state where one device, or NumPy, has all of it; all hosts must call it."""
        return state if self.mode == "jit" else self.gather(state)

    def step_of(self, state: TrainState) -> int:
        """How many steps the state has taken."""
        step = state.step.addressable_data(0)
        return int(step[0] if self.mode == "pmap" else step)

    # Batches

    def put_batch(self, batch: Batch) -> Batch:
        """This host's rows of a batch, on its devices."""
        return jax.tree.map(lambda rows: self._put_rows(rows, 0), batch)

    def put_plan(self, plan: Any) -> Any:
        """The rows [steps, B] of many batches, and their masks."""
        return jax.tree.map(lambda rows: self._put_rows(rows, 1), plan)

    def put_data(self, data: Any) -> Any:
        """What every device is to have whole."""
        return jax.device_put(data, self._local[0] if self.mode == "jit" else self._whole)

    # Programs

    def compile_step(self, train_step: TrainStep) -> TrainStep:
        """Return the step for the devices; its state is donated to the one it returns."""
        return self._compile(train_step, (0, 0, None, None))

    def compile_loop(self, train_step: TrainStep, size: int) -> Callable[..., Any]:
        """Return ``scan_steps`` of the step for the devices; its state is donated too."""
        return self._compile(scan_steps(train_step, size), (0, None, 0, None, None, None))

    def _compile(self, function: Callable[..., Any], axes: tuple[int | None, ...]) -> Any:
        compiled = self._compiled(function, axes)
        if jax.process_count() == 1 or jax.default_backend() != "cpu":
            return compiled

        # Between processes the sums of several steps at once can wait for each other for ever.
        def one_at_a_time(*args: Any) -> Any:
            return jax.block_until_ready(compiled(*args))

        return one_at_a_time

    def _compiled(self, function: Callable[..., Any], axes: tuple[int | None, ...]) -> Any:
        if self.mode == "jit":
            return jax.jit(function, donate_argnums=0)
        if self.mode == "sharded":

            def on_mesh(*args: Any) -> Any:
                state, metrics = function(*args)
                shardings = jax.tree.map(lambda leaf: self._sharding(leaf.shape), state)
                return jax.lax.with_sharding_constraint((state, metrics), (shardings, self._whole))

            return jax.jit(on_mesh, donate_argnums=0)
        given = None if jax.process_count() > 1 else self._local
        return jax.pmap(
            function, _DATA, in_axes=axes, out_axes=(0, None), devices=given, donate_argnums=0
        )

    def _sharding(self, shape: tuple[int, ...]) -> Any:
        """Of a leaf of the state: large ones are divided along their longest divisible axis."""
        if self.mode == "jit":
            return SingleDeviceSharding(self._local[0])
        size, parts = self._mesh.shape[_MODEL], [None] * len(shape)
        divisible = [n for n in shape if n % size == 0]
        if size > 1 and math.prod(shape) >= SHARDED_SIZE and divisible:
            parts[shape.index(max(divisible))] = _MODEL  # pyright: ignore[reportCallIssue, reportArgumentType]
        return NamedSharding(self._mesh, PartitionSpec(*parts))

    def _put_leaf(self, leaf: Any) -> Any:
        if self.mode == "jit":
            return jax.device_put(leaf, self._local[0])
        if self.mode == "pmap":
            stacked = np.broadcast_to(leaf, (len(self._local), *leaf.shape))
            return jax.device_put(stacked, self._local_rows(0))
        if isinstance(leaf, jax.Array) and leaf.sharding == self._sharding(leaf.shape):
            return leaf  # as Orbax restores what no host has whole
        leaf = np.asarray(leaf)
        return jax.make_array_from_callback(
            leaf.shape, self._sharding(leaf.shape), lambda place: leaf[place]
        )

    def _put_rows(self, rows: Any, axis: int) -> Any:
        if self.mode == "jit":
            return jax.device_put(rows, self._local[0])
        if self.mode == "pmap":
            parts = np.split(rows, len(self._local), axis)
            return jax.device_put(np.stack(parts), self._local_rows(0))
        spec = PartitionSpec(*[None] * axis, _DATA)
        return jax.make_array_from_process_local_data(NamedSharding(self._mesh, spec), rows)

    def _local_rows(self, axis: int) -> NamedSharding:
        mesh = Mesh(np.array(self._local), (_DATA,))
        return NamedSharding(mesh, PartitionSpec(*[None] * axis, _DATA))


def compile_step(train_step: TrainStep) -> TrainStep:
    """The step for one device; the state it is given is donated to the one it returns."""
    return Parallel().compile_step(train_step)
