"""A process for each other framework, so that none disturbs another.

In one process they would share the allocator's settings (``vae_jax.memory``, which ours is measured
with, speeds PyTorch up too) and each other's threads: beside Paddle and TensorFlow a step took up
to twice as long. A process is started when its framework is first needed, and ends with this one.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contest.contestants import CONTESTANTS
from vae_jax.benchmark.runs import Run
from vae_jax.benchmark.tasks import Task
from vae_jax.errors import UserError
from vae_jax.memory import keep_freed_memory


class Worker:
    """A process with a framework in it.

    Args:
        keeps_memory: whether ``vae_jax.memory.keep_freed_memory`` is called there.
    """

    def __init__(self, keeps_memory: bool):
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, keeps_memory), daemon=True)
        self.process.start()
        there.close()
        # Before multiprocessing would end it with a signal, of which Paddle writes a report.
        atexit.register(self.close)

    def close(self) -> None:
        """Lets the process end by itself."""
        self._pipe.close()
        self.process.join(5)

    def ask(self, what: str, *arguments: Any) -> Any:
        """The answer; an error there is raised here."""
        try:
            self._pipe.send((what, *arguments))
            failed, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join(1)
            raise RuntimeError(
                f"the process that measures ended with status {self.process.exitcode}, perhaps for "
                "lack of memory; try a smaller --batch-size"
            ) from error
        if failed:
            raise answer
        return answer


_workers: dict[tuple[str, bool], Worker] = {}


def worker_of(name: str) -> Worker:
    """The process of a contestant, shared with those of the same framework and memory."""
    contestant = CONTESTANTS[name]
    key = contestant.backend, contestant.group == "kept"
    if key not in _workers or not _workers[key].process.is_alive():
        _workers[key] = Worker(key[1])
    return _workers[key]


def build_elsewhere(task: Task, name: str) -> Run:
    """A contestant of another framework, ready in its process.

    Raises:
        MissingExtraError: the framework is not installed.
    """
    worker = worker_of(name)
    number = worker.ask("build", dataclasses.replace(task), name)  # without its images

    def run(count: int) -> float | None:
        return worker.ask("run", number, count)

    return run


def forget_all() -> None:
    """Frees what was built in every process."""
    for worker in _workers.values():
        if worker.process.is_alive():
            worker.ask("forget")


def cpu_seconds() -> float:
    """Processor time of this process and of those it measures with."""
    total = time.process_time()
    for worker in _workers.values():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def prepare_process(keeps_memory: bool) -> None:
    """The settings of a process in which a contestant works, before its framework is loaded."""
    # As TensorFlow comes; where it is held against for parity, its quickest kernels are left out.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if keeps_memory:
        keep_freed_memory()


def _serve(pipe: Any, keeps_memory: bool) -> None:
    prepare_process(keeps_memory)
    runs: list[Run] = []
    while True:
        try:
            what, *arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send((False, _answer(what, arguments, runs)))
        except UserError as error:
            pipe.send((True, error))
        except Exception as error:  # which may hold what no pipe takes
            pipe.send((True, RuntimeError(f"{type(error).__name__}: {error}")))


def _answer(what: str, arguments: list[Any], runs: list[Run]) -> Any:
    from contest import contestants

    if what == "load":
        with _no_stderr():
            contestants.load(*arguments)
    elif what == "build":
        runs.append(contestants.build(*arguments))
        return len(runs) - 1
    elif what == "run":
        number, count = arguments
        return runs[number](count)
    elif what == "forget":
        runs.clear()
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
    return None


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Drops what libraries write there as they load: errors come as exceptions."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
