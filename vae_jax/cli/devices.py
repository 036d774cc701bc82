"""Options for devices and checkpoints, which do not change what a run computes."""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING

import click

from vae_jax.cli.options import Command, Decorator, require_devices

if TYPE_CHECKING:
    from vae_jax.training.parallel import Mode, Parallel

_DEVICES = (
    click.option(
        "--parallel",
        "mode",
        type=click.Choice(["jit", "sharded", "pmap"]),
        show_default="jit; sharded for several devices",
        help="One device (jit), a mesh of devices (sharded), or pmap.",
    ),
    click.option(
        "--devices",
        "num_devices",
        type=click.IntRange(1),
        show_default="1, or all with --parallel or --hosts",
        help="Devices that share each batch.",
    ),
    click.option(
        "--model-axis",
        default=1,
        type=click.IntRange(1),
        help="Devices of a mesh that share the large parameters and their Adam moments.",
    ),
    click.option(
        "--hosts", is_flag=True, help="Join the hosts of this SLURM, MPI, Kubernetes or TPU job."
    ),
    click.option("--coordinator", help="Join hosts manually: HOST:PORT of host 0."),
    click.option("--num-processes", type=click.IntRange(1), help="Number of hosts."),
    click.option("--process-id", type=click.IntRange(0), help="This host's number, from 0."),
)
_CHOICES = (
    click.option(
        "--checkpoint-every", type=click.IntRange(1), help="Also save after this many steps."
    ),
    click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(0, min_open=True),
        help="Also save after this many minutes.",
    ),
    click.option("--keep", default=2, type=click.IntRange(1), help="Latest checkpoints to keep."),
    click.option(
        "--keep-best",
        default=0,
        type=click.IntRange(0),
        help="Further checkpoints to keep: those of the epochs with the lowest loss.",
    ),
    click.option(
        "--on-nonfinite",
        default="stop",
        type=click.Choice(["stop", "skip"]),
        help="What to do at a step whose loss or gradient is not finite.",
    ),
    click.option(
        "--skip-limit", default=10, type=click.IntRange(0), help="Most non-finite steps to skip."
    ),
)


def device_options(command: Command) -> Command:
    """Add the options for devices and hosts; the command gets them as ``devices``."""
    return _gathered(command, "devices", _DEVICES)


def run_options(command: Command) -> Command:
    """Add the options for checkpoints and non-finite steps; the command gets ``choices``."""
    return _gathered(command, "choices", _CHOICES)


def join_devices(
    mode: Mode | None,
    num_devices: int | None,
    model_axis: int,
    hosts: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
) -> Parallel:
    """Join the other hosts, if any, and return the ``Parallel`` that the options ask for.

    Raises:
        UserError: the hosts or devices do not exist.
    """
    from vae_jax.training.devices import make_parallel
    from vae_jax.training.hosts import start_hosts

    by_hand = (coordinator, num_processes, process_id)
    joins = hosts or any(value is not None for value in by_hand)
    if joins:
        start_hosts(*by_hand)
        _keep_stdout()  # before JAX has devices
    require_devices()
    if mode is None:
        several = joins or model_axis > 1 or (num_devices or 1) > 1
        mode = "sharded" if several else "jit"
    return make_parallel(mode, num_devices, model_axis)


def _keep_stdout() -> None:
    """Redirect what Gloo writes to standard output to standard error.

    Gloo connects the processes on CPU, and logs to file descriptor 1 whenever JAX starts another
    kind of reduction.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(kept, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def _gathered(command: Command, name: str, options: tuple[Decorator, ...]) -> Command:
    @functools.wraps(command)
    def gather(**values: object) -> object:
        mine = {key: values.pop(key) for key in names}
        return command(**values, **{name: mine})

    wrapped: Command = gather
    for option in reversed(options):
        wrapped = option(wrapped)
    parameters: list[click.Parameter] = vars(wrapped)["__click_params__"]
    names = [parameter.name for parameter in parameters[-len(options) :] if parameter.name]
    return wrapped
