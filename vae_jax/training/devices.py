"""The choice of devices, and of how they share a step."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from typing import cast

import jax  # many of its functions have no full hints

from vae_jax.errors import UserError
from vae_jax.training.parallel import Mode, OneDevice, OnMesh, Parallel, PerDevice
from vae_jax.typing import Device


def make_parallel(
    mode: Mode = "jit", num_devices: int | None = None, model_axis: int = 1
) -> Parallel:
    """Return a way to use the first devices of all hosts.

    Args:
        mode: one of ``MODES``.
        num_devices: default: 1 for ``jit``, else all there are.
        model_axis: devices that share the large parameters; more than 1 is for ``sharded``.

    Raises:
        UserError: there are not so many devices, or they cannot be divided this way.
    """
    found, hosts = cast(list[Device], jax.devices()), jax.process_count()
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
    ways = {"jit": OneDevice, "sharded": OnMesh, "pmap": PerDevice}
    return ways[mode](found[:num_devices], model_axis)
