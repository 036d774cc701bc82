"""This package at work."""

from __future__ import annotations

import contextlib
from typing import Any

import jax

from vae_jax.benchmark.contestants import OURS
from vae_jax.benchmark.tasks import Run, Task
from vae_jax.data import num_batches
from vae_jax.distributions import central_latent
from vae_jax.layers.forms import plain_layers
from vae_jax.models import init_variables
from vae_jax.objectives import make_loss
from vae_jax.optim import optimizer_of
from vae_jax.training.epoch import LONGEST_CALL, EpochSteps, stays_on_device
from vae_jax.training.parallel import Parallel
from vae_jax.training.state import create_state
from vae_jax.training.step import inputs_of, make_train_step

# JAX's names for what a GPU does to the factors of products; NVIDIA's takes the last two alike, as
# TF32, where PyTorch's autocast computes in bfloat16
_MATMUL = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}


def matmul_precision(device: str, precision: str) -> contextlib.AbstractContextManager[Any]:
    """What JAX must be set to while it traces and runs; a CPU has float32 alone."""
    if device == "cpu":
        return contextlib.nullcontext()
    return jax.default_matmul_precision(_MATMUL[precision])


def build(task: Task, name: str) -> Run:
    """The work of a task, compiled at its first call."""
    run = _Training(task).run if task.trains else _inference(task)

    def settings() -> contextlib.AbstractContextManager[Any]:
        return matmul_precision(task.device, task.precision)

    def within(count: int) -> float | None:
        with settings(), contextlib.nullcontext() if name == OURS else plain_layers():
            return run(count)

    return within


class _Training:
    """A model with its compiled step."""

    def __init__(self, task: Task):
        spec, recipe = task.spec, task.recipe
        optimizer = optimizer_of(recipe)
        init_key, self.key = jax.random.split(jax.random.key(recipe.seed))
        self.task, self.epoch = task, 0
        self.state = create_state(task.module, optimizer, init_key)
        loss = make_loss(task.model, recipe=recipe, **task.hyper)
        settings = inputs_of(task.model, task.module, recipe)
        if task.work == "epoch":
            self.steps = EpochSteps(
                loss,
                optimizer,
                task.data,
                recipe,
                takes_label=spec.num_classes > 0,
                key=self.key,
                resident=stays_on_device(task.module, task.data),
                **settings,
            )
            return
        step = make_train_step(loss, optimizer, on_nonfinite="stop", **settings)
        self.train_step = Parallel().compile_step(step)
        self.batch: dict[str, Any] = {"image": task.data.images[: task.batch_size]}
        if spec.num_classes:
            self.batch["label"] = task.data.labels[: task.batch_size]
        if task.device != "cpu":  # there all contestants have it on the card
            self.batch = jax.device_put(self.batch)

    def run(self, count: int) -> float:
        """So many steps, or epochs."""
        metrics: Any = None
        for _ in range(count):
            if self.task.work == "step":
                self.state, metrics = self.train_step(self.state, self.batch, self.key)
            else:
                metrics = self._epoch()
        jax.block_until_ready(self.state)
        return float(metrics["loss"])

    def _epoch(self) -> Any:
        """An epoch by the training loop's own steps, in its longest calls; the mean metrics of the
        last call."""
        recipe = self.task.recipe
        total = num_batches(len(self.task.data), recipe.batch_size, recipe.drop_remainder)
        self.epoch += 1
        metrics: Any = None
        for first in range(0, total, LONGEST_CALL):
            count = min(LONGEST_CALL, total - first)
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
            return central_latent(model.apply(variables, source, *label, method="encode"))
        z = jax.random.normal(source, shape) if task.work == "sample" else source
        return model.apply(variables, z, *label, method="decode")

    def run(count: int) -> None:
        result = None
        for _ in range(count):
            result = once(variables, source, *label)
            if task.device == "cpu":  # two at once would share the cores
                jax.block_until_ready(result)
        jax.block_until_ready(result)

    return run


def compiled_bytes(task: Task) -> dict[str, int] | None:
    """What XLA says that a training step needs, in bytes; None where it does not say."""
    training = _Training(task)
    settings = matmul_precision(task.device, task.precision)
    with settings, contextlib.suppress(AttributeError, NotImplementedError):
        lowered: Any = training.train_step
        found = lowered.lower(training.state, training.batch, training.key).compile()
        sizes = found.memory_analysis()
        names = ("argument", "output", "alias", "temp")
        parts = {name: int(getattr(sizes, f"{name}_size_in_bytes")) for name in names}
        # What is donated is argument and output at once.
        return parts | {"total": sum(parts.values()) - 2 * parts["alias"]}
    return None
