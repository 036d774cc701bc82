"""Paddle at work, as tutorial 004 writes it: one ``trainer`` call a batch, two optimisers."""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_jax.benchmark.runs import Run
from vae_jax.benchmark.tasks import Task
from vae_jax.parity.originals.paddle import CLASSES, Decoder, Encoder, paddle


def build(task: Task, name: str) -> Run:
    """The work of a task."""
    del name  # there is one contestant
    paddle.seed(0)
    work = _Work(task)
    return work.train if task.trains else work.infer


class _Work:
    def __init__(self, task: Task):
        recipe, self.task, self.rng = task.recipe, task, np.random.default_rng(0)
        self.encoder = Encoder(CLASSES[task.model], **task.hyper)
        self.decoder = Decoder(CLASSES[task.model], **task.hyper)
        self.optimizers = [
            paddle.optimizer.Adam(
                learning_rate=recipe.learning_rate,
                beta1=recipe.beta1,
                parameters=part.parameters(),
            )
            for part in (self.encoder, self.decoder)
        ]
        self.images = task.floats().transpose(0, 3, 1, 2)
        self.labels = task.one_hot()[:, :, None, None]
        self.latents = paddle.to_tensor(task.latents()[:, :, None, None])

    def train(self, count: int) -> float:
        """So many steps, or epochs; the loss of the last step."""
        loss: Any = None
        size = self.task.batch_size
        for _ in range(count):
            images, labels = self.images, self.labels
            if self.task.work == "epoch":
                order = self.rng.permutation(len(images))
                images, labels = images[order], labels[order]
            for start in range(0, self.task.images, size):
                loss = self.step(images[start : start + size], labels[start : start + size])
        return float(loss)

    def step(self, images: np.ndarray, labels: np.ndarray) -> Any:
        """The body of the tutorial's loop."""
        x, label = paddle.to_tensor(images), self._label(labels)
        z = self.rng.normal(0.0, 1.0, (len(images), *self.latents.shape[1:]))
        z = paddle.to_tensor(z.astype("float32"))
        mean, logvar = self.encoder(x, *label)
        z = z * paddle.exp(0.5 * logvar) + mean
        y = self.decoder(z, *label)
        loss_rec = paddle.mean(paddle.sum((x - y) ** 2, [1, 2, 3]))
        kl = -0.5 * (1 + logvar - mean**2 - paddle.exp(logvar))
        loss = loss_rec + paddle.mean(paddle.sum(kl, [1, 2, 3]))
        self.encoder.clear_gradients()
        self.decoder.clear_gradients()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.minimize(loss)
        return loss

    def infer(self, count: int) -> None:
        """So many batches encoded, decoded, or drawn and decoded."""
        x, label = paddle.to_tensor(self.images), self._label(self.labels)
        with paddle.no_grad():
            for _ in range(count):
                if self.task.work == "encode":
                    self.encoder(x, *label)
                    continue
                draw = self.task.work == "sample"
                self.decoder(paddle.randn(self.latents.shape) if draw else self.latents, *label)

    def _label(self, labels: np.ndarray) -> list[Any]:
        return [paddle.to_tensor(labels)] if CLASSES[self.task.model] else []
