"""Compile a task of this package, ready to run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax

from vae_jax.benchmark.roofline import Ceilings, measure_ceilings
from vae_jax.benchmark.tasks import Task
from vae_jax.models import init_variables
from vae_jax.objectives import loss_of
from vae_jax.optim import optimizer_of
from vae_jax.training.devices import make_parallel
from vae_jax.training.epoch import LONGEST_CALL, EpochSteps, stays_on_device
from vae_jax.training.state import create_state
from vae_jax.training.step import Inputs, make_train_step

Run = Callable[[int], float | None]
"""A function that does the work a number of times, waits for it, and returns the last loss, if any.
"""

# JAX's names for a GPU's precision of products. NVIDIA's GPUs treat the last two alike, as TF32,
# while PyTorch's autocast computes in bfloat16.
_MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}


def build(task: Task) -> Run:
    """Return the work of a task, which compiles at its first call."""
    run = Training(task).run if task.trains else _inference(task)

    def within(count: int) -> float | None:
        with matmul_precision(task.device, task.precision):
            return run(count)

    return within


def matmul_precision(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Return the context that sets JAX's precision of products; a CPU has only float32."""
    if device == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision(_MATMUL[precision])


def ceilings_in(precision: str) -> Ceilings:
    """Measure the machine's ceilings in one of ``PRECISIONS``."""
    with matmul_precision("cpu" if jax.default_backend() == "cpu" else "gpu", precision):
        return measure_ceilings()


class Training:
    """A model with its compiled step or epoch."""

    def __init__(self, task: Task):
        recipe, optimizer = task.recipe, optimizer_of(task.recipe)
        init_key, self.key = jax.random.split(jax.random.key(recipe.seed))
        self.task, self.epoch = task, 0
        self.state = create_state(task.module, optimizer, init_key)
        loss = loss_of(task.module, task.spec, recipe)
        inputs = Inputs.of(task.spec, task.module.latent_size, recipe)
        takes_label = task.spec.num_classes > 0
        if task.work == "epoch":
            resident = stays_on_device(task.module, task.data)
            self.steps = EpochSteps(
                loss,
                optimizer,
                task.data,
                recipe,
                inputs,
                takes_label=takes_label,
                key=self.key,
                resident=resident,
            )
            return
        step = make_train_step(loss, optimizer, inputs, on_nonfinite="stop")
        self.train_step = make_parallel().compile_step(step)
        self.batch: dict[str, Any] = {"image": task.data.images}
        if takes_label:
            self.batch["label"] = task.data.labels
        if task.device != "cpu":  # every framework gets the batch on the GPU
            self.batch = jax.device_put(self.batch)

    def run(self, count: int) -> float:
        """Run ``count`` steps or epochs, and return the last loss."""
        metrics: Any = None
        for _ in range(count):
            if self.task.work == "step":
                self.state, metrics = self.train_step(self.state, self.batch, self.key)
            else:
                metrics = self._epoch()
        jax.block_until_ready(self.state)
        return float(metrics["loss"])

    def _epoch(self) -> Any:
        """Run an epoch in calls as long as a run's, and return the last call's mean metrics."""
        self.epoch += 1
        metrics: Any = None
        for first in range(0, self.task.num_steps, LONGEST_CALL):
            count = min(LONGEST_CALL, self.task.num_steps - first)
            self.state, kept = self.steps.run(self.state, self.epoch, first, count)
            metrics = {name: values.mean() for name, values in kept.items()}
        return metrics


def _inference(task: Task) -> Run:
    model, variables = task.module, init_variables(task.module, jax.random.key(0))
    label = [jax.device_put(task.one_hot())] if task.spec.num_classes else []
    shape = (task.batch_size, model.latent_size)
    given = task.floats() if task.work == "encode" else task.latents()
    source = jax.random.key(1) if task.work == "sample" else jax.device_put(given)

    @jax.jit
    def once(variables: Any, source: Any, *label: Any) -> Any:
        if task.work == "encode":
            return model.apply(variables, source, *label, method="encode").mean
        z = jax.random.normal(source, shape) if task.work == "sample" else source
        return model.apply(variables, z, *label, method="decode")

    def run(count: int) -> None:
        result = None
        for _ in range(count):
            result = once(variables, source, *label)
            if task.device == "cpu":  # otherwise two calls would share the cores
                jax.block_until_ready(result)
        jax.block_until_ready(result)

    return run
