"""Compilation of the pure step for devices; the only file that knows ``jit``, meshes and ``pmap``.

In all three modes the step is the same function of the state, the whole batch and the key. Under
``jit`` one device has everything. ``sharded`` is ``jit`` over a mesh: the batch is divided along
its ``data`` axis, large parameters with their Adam moments along its ``model`` axis, and XLA
inserts the sums over devices. Under ``pmap`` every device has the whole state and runs the step on
its part of the batch; ``layers/collectives.py`` sums by axis name.
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
SHARDED_SIZE = 2**20  # parameters of at least this many numbers are divided along the model axis

_DATA, _MODEL = "data", "model"


class Parallel:
    """The devices of a run, and how they share its step.

    Attributes:
        mode: ``jit``, ``sharded`` or ``pmap``.
        num_devices: the number of devices on all hosts.
        num_shards: the number of parts that the batch is divided into.
        axis_name: the axis to sum over under ``pmap``, for ``make_loss`` and ``Inputs``; else None.
    """

    def __init__(self, mode: Mode = "jit", num_devices: int | None = None, model_axis: int = 1):
        """Choose the first ``num_devices`` devices.

        Args:
            mode: ``jit``, ``sharded`` or ``pmap``.
            num_devices: default: 1 for ``jit``, otherwise all.
            model_axis: the number of devices that share the large parameters; more than 1 only
                with ``sharded``.

        Raises:
            UserError: there are too few devices, or they cannot be divided this way.
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
        """Return the rows of a batch padded to divide over devices and groups of batch norm.

        Raises:
            UserError: ``groups`` is neither 1 nor a multiple of ``num_shards``.
        """
        if groups > 1 and groups % self.num_shards:
            raise UserError(
                f"batch_norm_groups {groups} on {self.num_shards} devices; expected 1, or a "
                f"multiple of {self.num_shards}"
            )
        shares = max(groups, self.num_shards)
        return -(-batch_size // shares) * shares

    # The state

    def put_state(self, state: Any) -> Any:
        """Return a tree of arrays, the same on every host, on the devices."""
        return jax.tree.map(self._put_leaf, state)

    def shapes(self, state: Any) -> Any:
        """Return the shapes and shardings with which Orbax restores a state."""

        def shape(leaf: Any) -> jax.ShapeDtypeStruct:
            leaf = leaf[0] if self.mode == "pmap" else leaf
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._sharding(leaf.shape))

        return jax.tree.map(shape, state)

    def copy(self, state: Any) -> Any:
        """Return a copy for a checkpoint, which the next step does not overwrite.

        Under ``sharded`` it is divided as the state is; otherwise it holds NumPy arrays.
        """
        if self.mode != "sharded":
            return self.gather(state)
        if self._copy is None:  # without donation the results get new memory
            self._copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
        return jax.block_until_ready(self._copy(state))

    def gather(self, state: Any) -> Any:
        """Return the whole state as NumPy arrays on every host; all hosts must call it."""
        if self.mode == "pmap":
            return jax.tree.map(lambda leaf: np.array(leaf.addressable_data(0)[0]), state)
        if jax.process_count() > 1:
            return jax.tree.map(np.asarray, multihost_utils.process_allgather(state, tiled=True))
        return jax.tree.map(np.array, state)

    def on_one(self, state: Any) -> Any:
        """Return the state on one device, or gathered as NumPy arrays; all hosts must call it."""
        return state if self.mode == "jit" else self.gather(state)

    def step_of(self, state: TrainState) -> int:
        """Return the number of steps the state has taken."""
        step = state.step.addressable_data(0)
        return int(step[0] if self.mode == "pmap" else step)

    # Batches

    def put_batch(self, batch: Batch) -> Batch:
        """Return this host's rows of a batch on its devices."""
        return jax.tree.map(lambda rows: self._put_rows(rows, 0), batch)

    def put_plan(self, plan: Any) -> Any:
        """Return the rows [steps, B] of many batches, and their masks, on the devices."""
        return jax.tree.map(lambda rows: self._put_rows(rows, 1), plan)

    def put_data(self, data: Any) -> Any:
        """Return data on the devices, each of which holds all of it."""
        return jax.device_put(data, self._local[0] if self.mode == "jit" else self._whole)

    # Programs

    def compile_step(self, train_step: TrainStep) -> TrainStep:
        """Return the step compiled for the devices; it donates its state."""
        return self._compile(train_step, (0, 0, None, None))

    def compile_loop(self, train_step: TrainStep, size: int) -> Callable[..., Any]:
        """Return ``scan_steps`` of the step compiled for the devices; it donates its state."""
        return self._compile(scan_steps(train_step, size), (0, None, 0, None, None, None))

    def _compile(self, function: Callable[..., Any], axes: tuple[int | None, ...]) -> Any:
        compiled = self._compiled(function, axes)
        if jax.process_count() == 1 or jax.default_backend() != "cpu":
            return compiled

        # On CPU, sums between processes can deadlock when several steps are in flight.
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
        """Return a leaf's sharding: large ones are divided along their longest divisible axis."""
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
            return leaf  # restored by Orbax in parts; no host has all of it
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
    """Return the step compiled for one device; it donates its state."""
    return Parallel().compile_step(train_step)
