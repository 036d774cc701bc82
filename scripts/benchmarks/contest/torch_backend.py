"""PyTorch at work: as the tutorials write it, and as fast as it goes.

As written is the tutorial's loop: Adam's defaults, a ``loss.item()`` each step, and in an epoch
torchvision's data set under a ``DataLoader``. Tuned has all images as floats in memory, the fused
Adam, gradients set to none and no waiting before the end. Sources: listings 7.3 and 7.6 of
tutorial 002; ``MNIST.__getitem__`` and ``to_tensor`` of torchvision.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from contest.torch_twins import ADAPTERS
from vae_jax.benchmark.runs import Run
from vae_jax.benchmark.tasks import Task
from vae_jax.parity.originals.pytorch import nn, torch


def build(task: Task, name: str) -> Run:
    """The work of a task by one of PyTorch's contestants."""
    _set_precision(task)
    torch.manual_seed(0)
    compiled = name.startswith("PyTorch compiled")
    if compiled:
        # Each code object is compiled a few times at most, and the next task has the same.
        torch._dynamo.reset()
    if name == "PyTorch as written":
        return _AsWritten(task).run
    tuned = _Tuned(task, channels_last="channels last" in name, compiled=compiled)
    if name.startswith("PyTorch CUDA graph"):
        return tuned.captured()
    return tuned.train if task.trains else tuned.infer


class Pictures(torch.utils.data.Dataset):
    """Images as torchvision's ``MNIST`` with ``ToTensor`` gives them, one at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """The picture [C, H, W] in [0, 1], by way of a PIL image, and its label."""
        from PIL import Image

        picture = Image.fromarray(self.images[index].squeeze(-1).numpy())
        pixels = torch.from_numpy(np.array(picture, copy=True))
        pixels = pixels.view(picture.height, picture.width, -1).permute(2, 0, 1).contiguous()
        return pixels.to(torch.float32).div(255), int(self.labels[index])


class _AsWritten:
    """The tutorial's loop."""

    def __init__(self, task: Task):
        recipe, self.task, self.adapter = task.recipe, task, ADAPTERS[task.model]
        self.module = _module(task)
        self.optimizer = torch.optim.Adam(
            self.module.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.batch = _images(task) if task.work == "step" else None
        if self.batch is None:
            pictures = Pictures(task.data.images, task.data.labels)
            self.loader = torch.utils.data.DataLoader(pictures, task.batch_size, shuffle=True)

    def run(self, count: int) -> float:
        """So many steps, or epochs; the loss of the last step."""
        loss = 0.0
        for _ in range(count):
            if self.batch is not None:
                loss = self.step(self.batch)
            else:
                for images, _ in self.loader:
                    loss = self.step(images)
        return loss

    def step(self, images: torch.Tensor) -> float:
        """One batch."""
        images = images.to(_device(self.task))
        noise = torch.randn(len(images), self.task.module.latent_size, device=images.device)
        loss = self.adapter.loss(self.module, images, noise, None)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


class _Tuned:
    """What a user who knows PyTorch well would write."""

    def __init__(self, task: Task, *, channels_last: bool, compiled: bool):
        recipe, self.task, self.adapter = task.recipe, task, ADAPTERS[task.model]
        device = _device(task)
        memory = torch.channels_last if channels_last else torch.contiguous_format
        self.module = _module(task).to(memory_format=memory)  # pyright: ignore[reportCallIssue]
        self.images = _images(task).to(device).contiguous(memory_format=memory)
        self.labels = torch.from_numpy(task.one_hot()).to(device)
        self.latents = torch.from_numpy(task.latents()).to(device)
        self.loss, self.infer_once = self._loss, self._infer_once
        if task.trains:
            self.optimizer = torch.optim.Adam(
                self.module.parameters(),
                lr=recipe.learning_rate,
                betas=(recipe.beta1, recipe.beta2),
                eps=recipe.epsilon,
                weight_decay=recipe.weight_decay,
                fused=True,
            )
        else:
            self.module.eval()
        if compiled:
            self.loss, self.infer_once = torch.compile(self.loss), torch.compile(self.infer_once)

    def train(self, count: int) -> float:
        """So many steps, or epochs; the loss of the last step."""
        loss = torch.zeros(())
        for _ in range(count):
            for images, labels in self._batches():
                loss = self.step(images, labels)
        return loss.item()

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """One batch; the loss stays on the device."""
        loss = self.loss(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def infer(self, count: int) -> None:
        """So many batches encoded, decoded, or drawn and decoded."""
        with torch.inference_mode():
            for _ in range(count):
                self.infer_once()
        if self.images.is_cuda:
            torch.cuda.synchronize()

    def captured(self) -> Run:
        """The step as a CUDA graph, which the GPU replays without Python."""
        for group in self.optimizer.param_groups:
            group["capturable"] = True
        images, graph, side = self.images.clone(), torch.cuda.CUDAGraph(), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # PyTorch's advice: the first steps make what must exist before
                self.step(images, self.labels)
        torch.cuda.current_stream().wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            loss = self.loss(images, self.labels)
            loss.backward()
            self.optimizer.step()

        def run(count: int) -> float:
            for _ in range(count):
                images.copy_(self.images)  # a new batch
                graph.replay()
            return loss.item()

        return run

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        if self.task.work == "step":
            yield self.images, self.labels
            return
        order = torch.randperm(len(self.images), device=self.images.device)
        for start in range(0, self.task.images, self.task.batch_size):
            chosen = order[start : start + self.task.batch_size]
            yield self.images[chosen], self.labels[chosen]

    def _loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(len(images), self.latents.shape[1], device=images.device)
        with self._autocast():
            return self.adapter.loss(self.module, images, noise, labels)

    def _infer_once(self) -> torch.Tensor:
        with self._autocast():
            if self.task.work == "encode":
                return self.adapter.encode(self.module, self.images, self.labels)
            draw = self.task.work == "sample"
            z = torch.randn_like(self.latents) if draw else self.latents
            return self.adapter.decode(self.module, z, self.labels)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.task.precision != "bfloat16":
            return contextlib.nullcontext()
        return torch.autocast("cuda", torch.bfloat16)


def _device(task: Task) -> str:
    return "cpu" if task.device == "cpu" else "cuda"


def _module(task: Task) -> nn.Module:
    module = ADAPTERS[task.model].make(**task.hyper).to(_device(task))
    for part in module.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = True  # as the tutorial's nn.ReLU(True)
    return module


def _images(task: Task) -> torch.Tensor:
    """The task's images, float32 [N, C, H, W] in the model's range."""
    return torch.from_numpy(np.ascontiguousarray(task.floats().transpose(0, 3, 1, 2)))


def _set_precision(task: Task) -> None:
    if task.device != "cpu":
        allowed = task.precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True
