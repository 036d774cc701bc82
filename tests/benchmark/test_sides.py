"""The contestants really work: they train, by whole epochs too, and use what they trained."""

import contextlib
import pickle

import numpy as np
import pytest

from vae_jax.benchmark import flax_side, processes
from vae_jax.benchmark.contestants import (
    CONTESTANTS,
    OURS,
    build,
    check_groups,
    load_sides,
    names_of,
)
from vae_jax.benchmark.tasks import make_task
from vae_jax.errors import MissingExtraError, UserError

from .tiny import tiny_task

TORCH = ("PyTorch as written", "PyTorch tuned")
TENSORFLOW = tuple(name for name in CONTESTANTS if name.startswith("TensorFlow"))


@pytest.fixture
def contestant():
    """Builds a contestant, whose framework must be installed."""

    def make(task, name):
        try:
            return build(task, name)
        except MissingExtraError as error:
            pytest.skip(str(error))

    return make


@pytest.mark.parametrize("name", [OURS, *TORCH])
@pytest.mark.parametrize("work", ["step", "epoch"])
def test_training_brings_the_loss_of_a_batch_down(contestant, name, work):
    # An epoch of one batch: its losses can be compared.
    run = contestant(tiny_task("digits_ae", work, num_images=2), name)
    first = run(1)
    assert np.isfinite(first)
    assert run(20) < first


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("TensorFlow as written", "step"),
        ("TensorFlow function", "epoch"),
        ("TensorFlow compiled", "step"),
    ],
)
def test_tensorflow_trains_too(contestant, name, work):
    run = contestant(tiny_task("stddev_vae", work, num_images=2), name)
    first = run(1)
    assert np.isfinite(first)
    assert run(20) < first


@pytest.mark.parametrize("work", ["step", "epoch"])
def test_paddle_trains_both_parts(work):
    paddle_side = pytest.importorskip("vae_jax.benchmark.paddle_side", exc_type=ImportError)
    training = paddle_side._Work(tiny_task("digits_cvae", work))
    weights = [part.conv2.weight for part in (training.encoder, training.decoder)]
    before = [weight.numpy().copy() for weight in weights]
    assert np.isfinite(training.train(2))
    for weight, old in zip(weights, before, strict=True):
        moved = np.abs(weight.numpy() - old).max()
        assert 1e-4 < moved < 1e-3  # some steps of Adam, each of up to its rate of 1e-4


@pytest.mark.parametrize("model", ["conv_vae", "digits_cvae", "stddev_vae"])
def test_every_model_trains_in_tuned_pytorch_in_both_memory_formats(contestant, model):
    for name in ("PyTorch tuned", "PyTorch tuned, channels last"):
        assert np.isfinite(contestant(tiny_task(model, "epoch"), name)(2))


@pytest.mark.parametrize("work", ["encode", "decode", "sample"])
def test_trained_models_are_used_by_all(contestant, work):
    for model, name in (
        ("digits_cvae", OURS),
        ("digits_cvae", "PyTorch tuned"),
        ("conv_vae", "PyTorch tuned, channels last"),
        ("digits_cvae", "Paddle as written"),
    ):
        assert contestant(tiny_task(model, work), name)(2) is None


def test_an_epoch_of_ours_takes_every_step():
    training = flax_side._Training(tiny_task("digits_ae", "epoch", num_images=5, batch_size=2))
    training.run(2)
    assert int(training.state.step) == 2 * 3
    assert training.epoch == 2


def test_pictures_are_what_torchvision_gives():
    torch_side = pytest.importorskip("vae_jax.benchmark.torch_side", exc_type=ImportError)
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        images = rng.integers(0, 256, (2, 5, 4, channels), np.uint8)
        picture, label = torch_side.Pictures(images, np.array([7, 1]))[1]
        assert label == 1
        expected = images[1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(picture.numpy(), expected)


def test_plain_layers_are_switched_on_around_the_work_alone(monkeypatch):
    inside = []

    @contextlib.contextmanager
    def switch():
        inside.append(True)
        yield
        inside.pop()

    monkeypatch.setattr(flax_side, "plain_layers", switch)
    monkeypatch.setattr(flax_side, "_inference", lambda task: lambda count: float(len(inside)))
    task = tiny_task("conv_vae", "encode")
    assert build(task, "vae_jax, plain layers")(1) == 1.0
    assert build(task, OURS)(1) == 0.0


def test_plain_layers_train_too():
    assert np.isfinite(build(tiny_task("digits_ae"), "vae_jax, plain layers")(2))


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
    monkeypatch.setattr(processes, "worker_of", lambda _: Absent())
    missing = load_sides([tiny_task("digits_ae")], ["written", "tuned"])
    assert set(missing) == {"written", "tuned"}
    assert "pip install 'vae-jax[torch]'" in str(missing["tuned"])
    assert load_sides([tiny_task("digits_ae")], []) == {}


class Absent:
    """The process of a framework that is not there."""

    def ask(self, what, *arguments):
        raise MissingExtraError("PyTorch", "torch", "a comparison")


def test_a_contestant_works_in_a_process_of_its_own_and_its_errors_come_back():
    pytest.importorskip("torch")
    task = tiny_task("digits_ae", num_images=2)
    run = processes.build_elsewhere(task, "PyTorch tuned")
    first = run(1)
    assert run(20) < first
    worker = processes.worker_of("PyTorch tuned, channels last")
    assert worker is processes.worker_of("PyTorch tuned")
    assert worker is not processes.worker_of("PyTorch tuned, memory kept")
    with pytest.raises(RuntimeError, match="KeyError: 'nobody'"):
        worker.ask("build", task, "nobody")
    missing = MissingExtraError("PyTorch", "torch", "a comparison")
    assert str(pickle.loads(pickle.dumps(missing))) == str(missing)  # as a pipe would take it
    worker.process.kill()
    worker.process.join()
    with pytest.raises(RuntimeError, match="the process that measures ended with status -9"):
        worker.ask("forget")
    assert processes.worker_of("PyTorch tuned") is not worker


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"work": "train"}, "there is no work 'train'; expected one of step, epoch"),
        ({"precision": "float16"}, "precision 'float16'; expected one of float32, tf32"),
        ({"precision": "tf32", "device": "cpu"}, "tf32 is a GPU's and this is a CPU"),
        ({"widths": (2,)}, "digits_ae has no hyperparameter 'widths'"),
    ],
)
def test_impossible_tasks_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        make_task("digits_ae", **given)


def test_a_task_takes_the_tutorials_sizes_unless_told():
    assert make_task("face_vae").batch_size == 16
    assert make_task("face_vae", "decode").batch_size == 256
    epoch = make_task("digits_ae", "epoch")
    assert (epoch.batch_size, epoch.num_images, epoch.num_steps) == (32, 60_000, 1875)
    assert make_task("face_vae", "epoch").num_images == 60_000 * 28 * 28 // 256**2
    assert make_task("stddev_vae", "epoch", num_images=250).images == 200
