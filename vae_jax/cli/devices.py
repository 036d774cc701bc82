"""Options about what a run runs on and what it keeps, which change nothing of what it computes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import click

_DEVICES = (
    click.option(
        "--parallel",
        "mode",
        type=click.Choice(["jit", "sharded", "pmap"]),
        show_default="jit, or sharded where there are several devices to use",
        help="One device; a mesh of them with XLA's own sums; or pmap.",
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
        help="Of a mesh: devices that share the large parameters and their Adam moments.",
    ),
    click.option(
        "--hosts", is_flag=True, help="Join the hosts of this SLURM, MPI, Kubernetes or TPU job."
    ),
    click.option("--coordinator", help="Join hosts by hand: HOST:PORT of host 0."),
    click.option("--num-processes", type=click.IntRange(1), help="How many hosts there are."),
    click.option("--process-id", type=click.IntRange(0), help="Which of them this is, from 0."),
)
_CHOICES = (
    click.option(
        "--checkpoint-every", type=click.IntRange(1), help="Also save every so many steps."
    ),
    click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(0, min_open=True),
        help="Also save after so many minutes.",
    ),
    click.option("--keep", default=2, type=click.IntRange(1), help="Last checkpoints to keep."),
    click.option(
        "--keep-best",
        default=0,
        type=click.IntRange(0),
        help="Checkpoints to keep beside them: of the epochs with the lowest loss.",
    ),
    click.option(
        "--on-nonfinite",
        default="stop",
        type=click.Choice(["stop", "skip"]),
        help="At a step whose loss or gradient is not finite.",
    ),
    click.option(
        "--skip-limit", default=10, type=click.IntRange(0), help="Such steps to skip, at most."
    ),
)


def device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The devices and hosts, handed to the command as ``devices``."""
    return _gathered(command, "devices", _DEVICES)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is kept of a run, and when it gives up, handed to the command as ``choices``."""
    return _gathered(command, "choices", _CHOICES)


def join_devices(
    mode: Any,
    num_devices: int | None,
    model_axis: int,
    hosts: bool,
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
) -> Any:
    """Joins the other hosts, if there are to be any, and returns the ``Parallel`` asked for.

    Raises:
        UserError: there are no such hosts or devices.
    """
    from vae_jax.training.hosts import start_hosts
    from vae_jax.training.parallel import Parallel

    by_hand = (coordinator, num_processes, process_id)
    joins = hosts or any(value is not None for value in by_hand)
    if joins:
        start_hosts(*by_hand)
        _keep_stdout()  # before JAX has devices
    if mode is None:
        several = joins or model_axis > 1 or (num_devices or 1) > 1
        mode = "sharded" if several else "jit"
    return Parallel(mode, num_devices, model_axis)


def _keep_stdout() -> None:
    """Keep standard output for this program: what Gloo writes there goes to standard error.

    Gloo connects the processes on CPU, and tells of it on file descriptor 1 whenever JAX begins
    another kind of sum.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(kept, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def _gathered(command: Callable[..., Any], name: str, options: tuple[Any, ...]) -> Any:
    @functools.wraps(command)
    def gather(**values: Any) -> Any:
        mine = {key: values.pop(key) for key in names}
        return command(**values, **{name: mine})

    wrapped: Any = gather
    for option in reversed(options):
        wrapped = option(wrapped)
    names = [param.name for param in wrapped.__click_params__[-len(options) :]]
    return wrapped
