"""Training on several hosts, each a process with its own devices.

JAX connects them (``jax.distributed``). All run the same program. Only host 0 writes the run's
``run.json``, metrics and figures. The hosts agree on whatever depends on a clock or a signal,
because a host that branched differently would wait for the others for ever.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from typing import TypeVar, cast

import jax  # many of its functions have no full hints
import numpy as np

from vae_jax.errors import RunError, UserError

_T = TypeVar("_T")
_MESSAGE = 2048  # bytes of a text sent between hosts
_joined = False  # whether ``start_hosts`` has joined others
_FAREWELL = 10.0  # seconds to wait for the other hosts to end too


def start_hosts(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Join the other hosts; call it before any other JAX function.

    Args:
        coordinator: address and port of host 0; None to take all three from the cluster (JAX
            knows SLURM, Open MPI, Kubernetes and TPU pods).
        num_processes: the number of hosts.
        process_id: the number of this host, from 0.

    Raises:
        UserError: no cluster is found, or the other hosts cannot be reached.
    """
    given = (coordinator, num_processes, process_id)
    if any(value is None for value in given) and any(value is not None for value in given):
        raise UserError(
            "--coordinator, --num-processes and --process-id go together; give all three, or "
            "--hosts alone in a cluster that JAX knows"
        )
    if coordinator is not None and not re.fullmatch(r".+:[0-9]+", coordinator):
        raise UserError(f"--coordinator {coordinator}; expected HOST:PORT of host 0")
    try:
        jax.distributed.initialize(*given)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the hosts cannot be joined: {reason}; expected a cluster that JAX knows, or "
            "--coordinator HOST:PORT --num-processes N --process-id I with host 0 listening there"
        ) from error
    global _joined
    _joined = True


def is_main() -> bool:
    """Return whether this is host 0, the one that writes files."""
    return jax.process_index() == 0


def on_main(function: Callable[[], _T]) -> _T | None:
    """Call a function only on host 0 and return its result there, None elsewhere.

    An error that it raises is raised on every host.
    """
    return on_every(lambda: function() if is_main() else None)


def on_every(function: Callable[[], _T]) -> _T:
    """Call a function on every host and return its result; an error on one is raised on all."""
    if jax.process_count() == 1:
        return function()
    result, failed = None, None
    try:
        result = function()
    except Exception as error:
        failed = error
    errors = _gather_text("" if failed is None else f"{type(failed).__name__}: {failed}")
    if failed is not None:
        raise failed
    for host, text in enumerate(errors):
        if text:
            raise RunError(f"host {host} stopped: {text}")
    return cast(_T, result)


def require_same(name: str, value: str) -> None:
    """Check that all hosts were given the same value.

    Args:
        name: the name of the option.
        value: its value on this host.

    Raises:
        UserError: the values differ; raised on every host.
    """
    if jax.process_count() == 1:
        return
    values = _gather_text(value)
    other = next((host for host, text in enumerate(values) if text != values[0]), None)
    if other is not None:
        raise UserError(
            f"{name} is {values[0]} on host 0 and {values[other]} on host {other}; expected "
            "the same on every host"
        )


def leave(status: int) -> None:
    """End this process after an error that other hosts, waiting for it, may not know of."""
    if _joined:
        farewell = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        farewell.start()
        farewell.join(_FAREWELL)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def agree(stop: bool, due: bool, count: int) -> tuple[bool, bool, int]:
    """Return whether any host was asked to stop, and host 0's values of ``due`` and ``count``."""
    if jax.process_count() == 1:
        return stop, due, count
    from jax.experimental import multihost_utils

    values: np.ndarray = multihost_utils.process_allgather(np.array([stop, due, count], np.int32))
    return bool(values[:, 0].any()), bool(values[0, 1]), int(values[0, 2])


def _gather_text(text: str) -> list[str]:
    """Return every host's text, cut to ``_MESSAGE`` bytes; all hosts must call it."""
    from jax.experimental import multihost_utils

    mine = np.frombuffer(text.encode()[:_MESSAGE].ljust(_MESSAGE), np.uint8)
    texts: np.ndarray = np.asarray(multihost_utils.process_allgather(mine))
    return [line.tobytes().decode(errors="replace").rstrip() for line in texts]
