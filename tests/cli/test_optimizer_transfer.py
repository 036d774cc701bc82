"""``train --init`` continues from an original's Adam state; ``convert --optimizer`` writes it."""

import json

import numpy as np
import pytest

import vae_jax
from vae_jax.data import iterate_batches, open_dataset
from vae_jax.models import get_spec
from vae_jax.parity.probes import probes_of
from vae_jax.training.checkpoint import load_run_state

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

SMALL = {"latent_size": 3, "hidden_size": 8}
HYPER = [f"--hyper={key}={value}" for key, value in SMALL.items()]
SETTINGS = {"lr": 2e-3, "betas": (0.8, 0.99), "eps": 1e-7, "weight_decay": 1e-3}
BATCH = 8


class Original:
    """The PyTorch original of digits_ae, as its user would train it."""

    def __init__(self, **options):
        from vae_jax.parity.originals.pytorch import RUNNERS

        torch.manual_seed(0)
        self.runner = RUNNERS["digits_ae"]
        self.model = self.runner.module(**SMALL)
        self.optimizer = torch.optim.Adam(self.model.parameters(), **SETTINGS | options)

    def train(self, data, epoch):
        """An epoch over the batches that the port would draw; its mean loss."""
        split, losses = open_dataset(data, (28, 28, 1)).train, []
        for batch in iterate_batches(split, batch_size=BATCH, seed=0, epoch=epoch):
            real = batch.get("mask", np.ones(BATCH)) > 0
            image = torch.tensor(batch["image"][real].astype(np.float32) / 255)
            self.optimizer.zero_grad()
            loss = self.runner.loss(self.model, image, None)["reconstruction"]
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
        return np.mean(losses)

    def save(self, path):
        content = {"net": self.model.state_dict(), "opt": self.optimizer.state_dict(), "epoch": 3}
        torch.save(content, path)
        return path


@pytest.fixture
def checkpoint(data, tmp_path):
    """A training checkpoint after an epoch of 3 steps, and the original that goes on from it."""
    original = Original()
    original.train(data, 7)
    return original.save(tmp_path / "checkpoint.pth"), original


@pytest.fixture
def start(succeed, cli, data, tmp_path):
    """Trains an epoch from a file; the run's folder, its description and what was printed."""

    def run(file, *options, model="digits_ae", hyper=(), fails=False):
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        recipe = ["--data", data, "--epochs", "1", "--batch-size", BATCH, *hyper]
        arguments = ("train", model, *recipe, "--init", file, "--out", out, *options)
        if fails:
            error = cli(*arguments).error
            assert not out.exists()
            return error
        printed = succeed(*arguments).out
        return out, json.loads((out / "run.json").read_text()), printed

    return run


def loss_of(out):
    return json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["loss"]


@pytest.mark.slow
def test_a_run_goes_on_where_pytorch_stopped(start, checkpoint, data):
    file, original = checkpoint
    out, run, printed = start(file)
    assert f"continues Adam after 3 steps (the file's epoch is 3): {file}\n" in printed
    assert "learning_rate 0.002, the file's, at every step\n" in printed
    assert (run["init"], run["init_optimizer_steps"]) == (str(file), 3)
    recipe = {k: run["recipe"][k] for k in ("learning_rate", "beta1", "beta2", "epsilon")}
    assert recipe == {"learning_rate": 2e-3, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-7}
    assert run["recipe"]["weight_decay"] == 1e-3
    assert loss_of(out) == pytest.approx(original.train(data, 1), rel=1e-6)
    state = load_run_state(out / "checkpoints")
    assert (int(state.step), int(state.opt_state.count)) == (3, 6)


@pytest.mark.slow
def test_the_weights_alone_go_another_way(start, checkpoint, data):
    file, original = checkpoint
    out, run, printed = start(file, "--fresh-optimizer")
    assert "continues" not in printed
    assert run["init_optimizer_steps"] is None
    assert run["recipe"]["learning_rate"] == 2.5e-4
    assert abs(loss_of(out) / original.train(data, 1) - 1) > 1e-4


@pytest.mark.slow
def test_an_option_wins_over_the_file_and_says_so(start, checkpoint):
    file, _ = checkpoint
    _, run, printed = start(file, "--learning-rate", "0.01", "--beta1", "0.8")
    assert "set by the command line: learning_rate 0.01 instead of the file's 0.002\n" in printed
    assert (run["recipe"]["learning_rate"], run["recipe"]["beta2"]) == (0.01, 0.99)
    _, _, printed = start(file, "--json")
    printed = json.loads(printed)
    assert printed["init_optimizer_steps"] == 3
    assert len(printed["remarks"]) == 2


@pytest.mark.slow
def test_a_run_that_continued_an_original_is_itself_resumed(start, succeed, checkpoint):
    out, _, _ = start(checkpoint[0])
    succeed("train", "digits_ae", "--resume", "--out", out, "--epochs", "2")
    assert int(load_run_state(out / "checkpoints").opt_state.count) == 9
    assert json.loads((out / "run.json").read_text())["init_optimizer_steps"] == 3


@pytest.mark.slow
def test_what_cannot_be_continued_is_one_line_and_no_run_begins(start, cli, data, tmp_path):
    original = Original(amsgrad=True)
    original.train(data, 7)
    file = original.save(tmp_path / "checkpoint.pth")
    error = start(file, fails=True)
    assert f"{file}: its optimiser has amsgrad=True: expected plain Adam" in error
    assert error.endswith("--fresh-optimizer imports only the weights")
    start(file, "--fresh-optimizer")
    original = Original(lr=0.0)
    original.train(data, 7)
    file = original.save(tmp_path / "still.pth")
    error = start(file, fails=True)
    assert f"{file}: its optimiser's learning_rate is 0.0; expected above 0; give that" in error
    start(file, "--learning-rate", "0.001")
    error = cli("train", "digits_ae", "--fresh-optimizer", "--out", tmp_path / "none").error
    assert "--fresh-optimizer needs --init" in error


@pytest.mark.slow
def test_pytorch_goes_on_where_a_run_stopped(start, succeed, checkpoint, data, tmp_path):
    out, _, _ = start(checkpoint[0])
    file = tmp_path / "back.pth"
    printed = succeed("convert", out, "--to", file, "--optimizer").out
    settings = "learning_rate 0.002, beta1 0.8, beta2 0.99, epsilon 1e-07, weight_decay 0.001"
    assert f"  Adam after 6 steps: {settings}\n" in printed
    content = torch.load(file, weights_only=True)
    again = Original(lr=1.0)
    again.model.load_state_dict(content["model"])
    again.optimizer.load_state_dict(content["optimizer"])
    assert content["epoch"] == 4  # the file's 3, and the run's
    assert again.optimizer.param_groups[0]["lr"] == 2e-3
    expected = again.train(data, 2)
    succeed("train", "digits_ae", "--resume", "--out", out, "--epochs", "2")
    assert loss_of(out) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_a_training_checkpoint_is_converted_with_its_adam(succeed, checkpoint, tmp_path):
    file, original = checkpoint
    printed = succeed("convert", file, "--to", tmp_path / "b.pt", "--optimizer", "--json").out
    printed = json.loads(printed)
    assert (printed["optimizer_steps"], printed["optimizer"]["epsilon"]) == (3, 1e-7)
    found, expected = torch.load(tmp_path / "b.pt")["optimizer"], original.optimizer.state_dict()
    assert found["param_groups"] == expected["param_groups"]
    for index, entry in expected["state"].items():
        for key, value in entry.items():
            assert torch.equal(found["state"][index][key], value)


@pytest.mark.slow
def test_a_file_of_two_sets_is_continued_with_the_one_that_key_chooses(
    start, cli, checkpoint, tmp_path
):
    content = torch.load(checkpoint[0])
    twice = {f"model.{name}": 2 * tensor for name, tensor in content["net"].items()}
    torch.save(content | {"ema": twice}, file := tmp_path / "both.pth")
    assert "choose one with key=... (command line: --key)" in start(file, fails=True)
    out, _, printed = start(file, "--key", "ema", "--epochs", "0")
    assert "continues Adam after 3 steps" in printed
    assert "taken off the names: model.\n" in printed
    found = vae_jax.export_weights("digits_ae", vae_jax.load(out).variables, **SMALL)
    for name, tensor in content["net"].items():
        np.testing.assert_array_equal(found[name], 2 * tensor.numpy())
    assert len(json.loads(start(file, "--key", "net", "--json")[2])["remarks"]) == 2
    error = cli("train", "digits_ae", "--key", "ema", "--out", tmp_path / "none").error
    assert "--key needs --init" in error


def test_what_has_no_adam_or_no_place_for_it_is_refused(
    succeed, cli, checkpoint, digits_file, data, tmp_path
):
    file, _ = checkpoint
    target = tmp_path / "out.pth"
    error = cli("convert", digits_file, "--to", target, "--optimizer").error
    assert f"{digits_file} holds no optimiser state: expected a run folder, or a" in error
    folder = tmp_path / "flax"
    succeed("convert", file, "--to", folder)
    error = cli("convert", folder, "--to", target, "--optimizer").error
    assert f"{folder} holds no optimiser state" in error
    for name in ("out.safetensors", "out.index", "out.pdparams", "other"):
        error = cli("convert", file, "--to", tmp_path / name, "--optimizer").error
        assert (
            "--optimizer writes digits_ae's Adam state only for PyTorch; expected a name" in error
        )
        assert ".pth or .pt" in error
        assert not (tmp_path / name).exists()
    still = tmp_path / "still"
    succeed("train", "digits_ae", "--data", data, "--epochs", "0", "--out", still, *HYPER)
    error = cli("convert", still, "--to", target, "--optimizer").error
    assert f"{still}: its Adam has taken no step yet" in error
    target.write_bytes(b"mine")
    error = cli("convert", file, "--to", target, "--optimizer").error
    assert "exists already" in error
    assert target.read_bytes() == b"mine"
    succeed("convert", file, "--to", target, "--optimizer", "--force")


@pytest.mark.paddle
def test_paddles_optimisers_beside_the_weights_are_found_and_written(start, succeed, cli, tmp_path):
    twin = pytest.importorskip("vae_jax.parity.backends.paddle", exc_type=ImportError)
    paddle, recipe = twin.paddle, get_spec("digits_vae").recipe
    with paddle.utils.unique_name.guard():
        original = twin.PaddleReference("digits_vae", np.float32, channels=2)
        for probe in probes_of("digits_vae", 2, 0, 4, channels=2):
            original.step(recipe, *probe)
    files = original.save(tmp_path)
    for path, optimizer in zip(files, original.optimizers, strict=True):
        paddle.save(optimizer.state_dict(), str(path.with_suffix(".pdopt")))
    out, run, printed = start(files[0], model="digits_vae")
    assert f"continues Adam after 4 steps: {files[0]} and {files[1]}\n" in printed
    assert run["init_optimizer_steps"] == 4
    target = tmp_path / "B_encoder_False.pdparams"
    (tmp_path / "B_decoder_False.pdopt").write_bytes(b"mine")
    error = cli("convert", out, "--to", target, "--optimizer").error
    assert "B_decoder_False.pdopt exists already" in error
    assert not target.exists()
    arguments = ("convert", out, "--to", target, "--optimizer", "--force", "--json")
    printed = json.loads(succeed(*arguments).out)
    assert [path.rpartition("/")[2] for path in printed["files"]] == [
        f"B_{part}_False.{kind}"
        for kind in ("pdparams", "pdopt")
        for part in ("encoder", "decoder")
    ]
    assert printed["optimizer_steps"] == 6
    with paddle.utils.unique_name.guard():
        again = twin.PaddleReference("digits_vae", np.float32, seed=4, channels=2)
        again.load(*printed["files"][:2])
        names = paddle.load(printed["files"][0], keep_name_table=True)
        names = names["StructuredToParameterName@@"]
        encoder = again.parts["encoder"]
        for name, parameter in encoder.named_parameters():
            parameter.name = names[name]
        adam = paddle.optimizer.Adam(1e-4, recipe.beta1, 0.999, parameters=encoder.parameters())
        state = paddle.load(printed["files"][2])
        adam.set_state_dict(state)
        sum(p.sum() for p in encoder.parameters()).backward()
        adam.step()
        assert adam.state_dict().keys() == state.keys()
        power = adam.state_dict()["conv2d_0.w_0_beta1_pow_acc_0"]
        assert power.item() == pytest.approx(recipe.beta1**8)
    files[1].with_suffix(".pdopt").unlink()
    error = start(files[0], model="digits_vae", fails=True)
    assert "A_decoder_False.pdopt: is missing, but A_encoder_False.pdopt exists" in error


@pytest.mark.tensorflow
def test_tensorflows_slots_are_found_and_written(start, succeed, tmp_path):
    twin = pytest.importorskip("vae_jax.parity.backends.tensorflow", exc_type=ImportError)
    original = twin.TensorFlowReference("stddev_vae", np.float32, latent_size=2)
    for probe in probes_of("stddev_vae", 2, 0, 4, latent_size=2):
        original.step(get_spec("stddev_vae").recipe, *probe)
    prefix = original.save(tmp_path / "train", global_step=4)
    out, run, printed = start(prefix, model="stddev_vae")
    assert f"continues Adam after 4 steps: {prefix}\n" in printed
    assert run["init_optimizer_steps"] == 4
    succeed("convert", out, "--to", tmp_path / "ours.index", "--optimizer")
    with original.graph.as_default():
        twin.tf.compat.v1.train.Saver().restore(original.session, str(tmp_path / "ours"))
    found = vae_jax.read_checkpoint(original.save(tmp_path / "again"))
    written = vae_jax.read_checkpoint(tmp_path / "ours")
    for name, array in found.items():
        np.testing.assert_array_equal(array, written[name], name)
    state = load_run_state(out / "checkpoints")
    moment = state.opt_state.mu["recognition"]["d_h1"]["kernel"]
    np.testing.assert_array_equal(found["recognition/d_h1/w/Adam"], moment)
    steps = int(state.opt_state.count)
    assert found["beta1_power"] == pytest.approx(0.9 ** (steps + 1), rel=1e-5)
