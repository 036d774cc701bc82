"""Who takes part, and that the other frameworks really work: they train, and use what they trained.

Each framework is built in this process; ``test_side_by_side`` has one in a process of its own.
"""

import numpy as np
import pytest
from contest import processes
from contest.contestants import (
    CONTESTANTS,
    OURS,
    build,
    check_groups,
    load_backends,
    names_of,
)

from vae_jax.benchmark import runs
from vae_jax.benchmark.tasks import make_task
from vae_jax.errors import MissingExtraError, UserError

from .tiny import tiny_task

TORCH = ("PyTorch as written", "PyTorch tuned")
TENSORFLOW = tuple(name for name in CONTESTANTS if name.startswith("TensorFlow"))


def assert_trains(task, name):
    run = build(task, name)
    first, last = run(1), run(20)
    assert first is not None
    assert last is not None
    assert np.isfinite(first)
    assert last < first


# An epoch of one batch: its losses can be compared.
@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("work", ["step", "epoch"])
def test_pytorch_brings_the_loss_of_a_batch_down(name, work):
    assert_trains(tiny_task("digits_ae", work, num_images=2), name)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("TensorFlow as written", "step"),
        ("TensorFlow function", "epoch"),
        ("TensorFlow compiled", "step"),
    ],
)
def test_tensorflow_trains_too(name, work):
    assert_trains(tiny_task("stddev_vae", work, num_images=2), name)


@pytest.mark.paddle
@pytest.mark.parametrize("work", ["step", "epoch"])
def test_paddle_trains_both_parts(work):
    from contest import paddle_backend

    training = paddle_backend._Work(tiny_task("digits_cvae", work))
    weights = [part.conv2.weight for part in (training.encoder, training.decoder)]
    before = [weight.numpy().copy() for weight in weights]
    assert np.isfinite(training.train(2))
    for weight, old in zip(weights, before, strict=True):
        moved = np.abs(weight.numpy() - old).max()
        assert 1e-4 < moved < 1e-3  # some steps of Adam, each of up to its rate of 1e-4


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("model", ["conv_vae", "digits_cvae", "stddev_vae"])
def test_every_model_trains_in_tuned_pytorch_in_both_memory_formats(model):
    for name in ("PyTorch tuned", "PyTorch tuned, channels last"):
        loss = build(tiny_task(model, "epoch"), name)(2)
        assert loss is not None
        assert np.isfinite(loss)


@pytest.mark.parametrize("work", ["encode", "decode", "sample"])
@pytest.mark.parametrize(
    ("model", "name"),
    [
        pytest.param("digits_cvae", "PyTorch tuned", marks=pytest.mark.torch),
        pytest.param("conv_vae", "PyTorch tuned, channels last", marks=pytest.mark.torch),
        pytest.param("digits_cvae", "Paddle as written", marks=pytest.mark.paddle),
    ],
)
def test_trained_models_are_used(work, model, name):
    assert build(tiny_task(model, work), name)(2) is None


@pytest.mark.torch
def test_pictures_are_what_torchvision_gives():
    from contest import torch_backend

    rng = np.random.default_rng(0)
    for channels in (1, 3):
        images = rng.integers(0, 256, (2, 5, 4, channels), np.uint8)
        picture, label = torch_backend.Pictures(images, np.array([7, 1]))[1]
        assert label == 1
        expected = images[1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(picture.numpy(), expected)


def test_plain_layers_are_of_one_contestant_only(monkeypatch):
    monkeypatch.setattr(runs, "build", lambda task: task.module.kernels)
    task = tiny_task("conv_vae", "encode")
    assert build(task, "vae_jax, plain layers") == "xla"
    assert build(task, OURS) is None


def test_each_task_has_the_contestants_that_can_do_it():
    groups = tuple(dict.fromkeys(c.group for c in CONTESTANTS.values()))
    assert names_of(tiny_task("digits_ae"), groups) == [
        *(OURS, "vae_jax, plain layers", *TORCH, "PyTorch tuned, memory kept", "PyTorch compiled")
    ]
    assert names_of(tiny_task("digits_vae", "decode"), ("written", "tuned", "paddle")) == [
        *(OURS, "PyTorch tuned", "PyTorch tuned, channels last", "Paddle as written")
    ]
    assert names_of(tiny_task("stddev_vae"), ("tensorflow",)) == [OURS, *TENSORFLOW]
    on_gpu = make_task("conv_vae", device="gpu", precision="tf32")
    assert names_of(on_gpu, ("graphs", "kept", "paddle")) == [
        *(OURS, "PyTorch CUDA graph", "PyTorch CUDA graph, channels last")
    ]


def test_a_group_that_can_do_nothing_is_refused():
    tasks = [tiny_task("digits_ae"), tiny_task("conv_vae", "encode")]
    check_groups(tasks, ["written", "tuned", "plain"])
    with pytest.raises(UserError, match="nobody of 'paddle' can do any of: digits_ae step, conv"):
        check_groups(tasks, ["paddle"])
    with pytest.raises(UserError, match="no group 'jax'; expected one of plain, written"):
        check_groups(tasks, ["jax"])


def test_a_framework_that_is_not_installed_takes_its_groups_with_it(monkeypatch):
    class Absent:
        def ask(self, what, *arguments):
            raise MissingExtraError("PyTorch", "torch", "a comparison")

    monkeypatch.setattr(processes, "worker_of", lambda _: Absent())
    missing = load_backends([tiny_task("digits_ae")], ["written", "tuned"])
    assert set(missing) == {"written", "tuned"}
    assert "pip install 'vae-jax[torch]'" in str(missing["tuned"])
    assert load_backends([tiny_task("digits_ae")], []) == {}
