"""Several hosts that train together, each a process with devices of its own.

JAX connects them (``jax.distributed``). All run the same program; what only one may do (writing the
run's description, its metrics and figures) host 0 does, and what depends on a clock or a signal
they agree on, because a host that took another way than the rest would wait for them for ever.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import numpy as np

from vae_jax.errors import RunError, UserError

_T = TypeVar("_T")
_MESSAGE = 2048  # bytes of a text that travels
_joined = False  # whether `start_hosts` has joined others
_FAREWELL = 10.0  # seconds that the others have to end, too


def start_hosts(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> None:
    """Joins the other hosts; call it before anything else of JAX's.

    Args:
        coordinator: address and port of host 0; None to ask the cluster: JAX knows SLURM, Open
            MPI, Kubernetes and the TPU pods.
        num_processes: how many hosts there are.
        process_id: which of them this is, from 0.

    Raises:
        UserError: no cluster is found, or the others cannot be reached.
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
    """Whether this is the host that writes."""
    return jax.process_index() == 0


def on_main(function: Callable[[], _T]) -> _T | None:
    """What a function returns on host 0, where alone it is called; an error it raises there is
    raised on all."""
    return on_every(lambda: function() if is_main() else None)


def on_every(function: Callable[[], _T]) -> _T:
    """What a function returns on each host; an error that it raises on any is raised on all."""
    if jax.process_count() == 1:
        return function()
    result, failed = None, None
    try:
        result = function()
    except Exception as error:
        failed = error
    told = _tell_all("" if failed is None else f"{type(failed).__name__}: {failed}")
    if failed is not None:
        raise failed
    for host, text in enumerate(told):
        if text:
            raise RunError(f"host {host} stopped: {text}")
    return cast(_T, result)


def require_same(name: str, value: str) -> None:
    """Check that all hosts were given the same value.

    Args:
        name: of the option.
        value: what this host was given.

    Raises:
        UserError: on all hosts, where one was given another.
    """
    if jax.process_count() == 1:
        return
    told = _tell_all(value)
    other = next((host for host, text in enumerate(told) if text != told[0]), None)
    if other is not None:
        raise UserError(
            f"{name} is {told[0]} on host 0 and {told[other]} on host {other}; expected the same "
            "on every host"
        )


def leave(status: int) -> None:
    """Ends this process after an error, which the other hosts may not know of and wait for it."""
    if _joined:
        farewell = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        farewell.start()
        farewell.join(_FAREWELL)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def agree(stop: bool, due: bool, count: int) -> tuple[bool, bool, int]:
    """Whether any host was asked to stop, and host 0's word on the other two."""
    if jax.process_count() == 1:
        return stop, due, count
    from jax.experimental import multihost_utils

    told: Any = multihost_utils.process_allgather(np.array([stop, due, count], np.int32))
    return bool(told[:, 0].any()), bool(told[0, 1]), int(told[0, 2])


def _tell_all(text: str) -> list[str]:
    """Return what each host says, each cut to _MESSAGE bytes; all of them must call it."""
    from jax.experimental import multihost_utils

    mine = np.frombuffer(text.encode()[:_MESSAGE].ljust(_MESSAGE), np.uint8)
    told: Any = multihost_utils.process_allgather(mine)
    return [line.tobytes().decode(errors="replace").rstrip() for line in np.asarray(told)]
