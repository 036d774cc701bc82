"""Several hosts that train together, each a process with devices of its own.

JAX connects them (``jax.distributed``). All run the same program; what only one may do (writing the
run's description, its metrics and figures) host 0 does, and what depends on a clock or a signal
they agree on, because a host that took another way than the rest would wait for them for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from vae_jax.errors import RunError, UserError

_T = TypeVar("_T")
_MESSAGE = 2048  # bytes of an error that travels


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
    try:
        jax.distributed.initialize(*given)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the hosts cannot be joined: {reason}; expected a cluster that JAX knows, or "
            "--coordinator HOST:PORT --num-processes N --process-id I with host 0 listening there"
        ) from error


def is_main() -> bool:
    """Whether this is the host that writes."""
    return jax.process_index() == 0


def on_main(function: Callable[[], _T]) -> _T | None:
    """What a function returns on host 0, where alone it is called; an error it raises there is
    raised on all."""
    if jax.process_count() == 1:
        return function()
    result, failed = None, None
    if is_main():
        try:
            result = function()
        except Exception as error:
            failed = error
    text = "" if failed is None else f"{type(failed).__name__}: {failed}"
    told = _from_main(np.frombuffer(text.encode()[:_MESSAGE].ljust(_MESSAGE), np.uint8))
    text = told.tobytes().decode(errors="replace").rstrip()
    if failed is not None:
        raise failed
    if text:
        raise RunError(f"host 0 stopped: {text}")
    return result


def agree(stop: bool, due: bool, count: int) -> tuple[bool, bool, int]:
    """Whether any host was asked to stop, and host 0's word on the other two."""
    if jax.process_count() == 1:
        return stop, due, count
    from jax.experimental import multihost_utils

    told: Any = multihost_utils.process_allgather(np.array([stop, due, count], np.int32))
    return bool(told[:, 0].any()), bool(told[0, 1]), int(told[0, 2])


def _from_main(values: np.ndarray) -> np.ndarray:
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(values))
