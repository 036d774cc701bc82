"""The Paddle backend against PyTorch and NumPy, which share no code with it."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from vae_jax.errors import CheckpointError
from vae_jax.recipe import Recipe

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = [pytest.mark.paddle, pytest.mark.torch]

NAMES = ("digits_vae", "digits_cvae")
BATCH, LATENT, CHANNELS = 3, 2, 8
RECIPE = Recipe(data="digits", epochs=1, batch_size=BATCH, learning_rate=1e-4, beta1=0.5)


def reference(*arguments, **options):
    """Paddle takes seconds to import: it is when the first of these tests runs."""
    from vae_jax.parity.backends.paddle import PaddleReference

    return PaddleReference(*arguments, **options)


def small(*arguments, **options):
    sizes = {"latent_size": LATENT, "channels": CHANNELS}
    return reference(*arguments, **sizes | options)


def probe(name, step=0) -> tuple:
    """Image, noise and for the conditional model a label, all random."""
    rng = np.random.default_rng(step)
    image, noise = rng.uniform(-1, 1, (BATCH, 28, 28, 1)), rng.normal(size=(BATCH, LATENT))
    label = np.eye(10)[rng.integers(0, 10, BATCH)]
    return (image, noise, label) if name == "digits_cvae" else (image, noise)


def in_torch(tensors, image, noise, label=None):
    """Mean, log variance and image of the tutorial's network, from its description alone."""

    def conv(x, name, operation=F.conv2d, **sizes):
        return operation(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], **sizes)

    half = {"stride": 2, "padding": 1}
    double = {"operation": F.conv_transpose2d, **half}
    x, z = image.permute(0, 3, 1, 2), noise[:, :, None, None]
    if label is not None:
        label = label[:, :, None, None]
        x = torch.cat([x, conv(label, "encoder.conv_label").reshape(-1, 1, 28, 28)], 1)
    x = F.leaky_relu(conv(x, "encoder.conv1", **half), 0.01)
    x = F.leaky_relu(conv(x, "encoder.conv2", **half), 0.01).reshape(len(x), -1, 1, 1)
    mean, logvar = conv(x, "encoder.conv_mean"), conv(x, "encoder.conv_logvar")
    z = z * torch.exp(logvar / 2) + mean
    z = z if label is None else torch.cat([z, label], 1)
    y = F.leaky_relu(conv(z, "decoder.conv1"), 0.01).reshape(len(z), -1, 7, 7)
    y = F.leaky_relu(conv(y, "decoder.conv2", **double), 0.01)
    y = F.leaky_relu(conv(y, "decoder.conv3", **double), 0.01)
    y = torch.tanh(conv(y, "decoder.conv4", padding=1))
    return mean[:, :, 0, 0], logvar[:, :, 0, 0], y.permute(0, 2, 3, 1)


def assert_same(left, right):
    assert list(left) == list(right)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_gradients_are_those_of_the_same_network_in_pytorch(name):
    rng = np.random.default_rng(9)
    start = small(name, np.float64).state_dict()
    # Paddle's biases start at zero, where a misplaced one would not show.
    tensors = {k: v + 0.1 * rng.normal(size=v.shape) for k, v in start.items()}
    model = small(name, np.float64, tensors)
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in tensors.items()}
    image, *rest = (torch.tensor(a) for a in probe(name))
    mean, logvar, decoded = in_torch(leaves, image, *rest)
    expected = {"mean": mean, "std": torch.exp(logvar / 2), "image": decoded}
    outputs = model.forward(*probe(name))
    assert list(outputs) == list(expected)
    for key, value in expected.items():
        assert outputs[key].dtype == np.float64
        np.testing.assert_allclose(outputs[key], value.detach(), rtol=1e-12, atol=1e-12)

    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar)
    (((image - decoded) ** 2).sum() / BATCH + kl.sum() / BATCH).backward()
    _, gradients = model.backward(*probe(name))
    assert list(gradients) == list(leaves)
    for key, leaf in leaves.items():
        gradient = np.asarray(leaf.grad)
        atol = 1e-12 * np.abs(gradient).max()
        np.testing.assert_allclose(gradients[key], gradient, rtol=0, atol=atol)


@pytest.mark.parametrize("name", NAMES)
def test_loss_terms_are_sums_an_image_and_means_over_the_batch(name):
    model = small(name, np.float64)
    out, (terms, _) = model.forward(*probe(name)), model.backward(*probe(name))
    mean, var = out["mean"], out["std"] ** 2
    reconstruction = ((probe(name)[0] - out["image"]) ** 2).sum() / BATCH
    kl = (0.5 * (mean**2 + var - 1 - np.log(var))).sum() / BATCH
    expected = {"loss": reconstruction + kl, "reconstruction": reconstruction, "kl_divergence": kl}
    assert terms == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_tensors_come_in_the_order_of_the_tutorials_layers(name):
    layers = [f"encoder.{n}" for n in ("conv1", "conv2", "conv_mean", "conv_logvar")]
    layers += [f"decoder.conv{n}" for n in (1, 2, 3, 4)]
    if name == "digits_cvae":
        layers.insert(0, "encoder.conv_label")
    names = [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]
    assert list(small(name, np.float32).state_dict()) == names


def test_adams_epsilon_stands_beside_the_bias_corrected_root_and_its_scalars_are_float64():
    recipe = RECIPE.replace(epsilon=1e-3)
    model = small("digits_vae", np.float64)
    weights = model.state_dict()
    m, v = ({k: np.zeros_like(w) for k, w in weights.items()} for _ in range(2))
    for t in range(1, 6):
        terms, gradients = model.backward(*probe("digits_vae", t))
        for k, g in gradients.items():
            m[k] = 0.5 * m[k] + 0.5 * g
            v[k] = 0.999 * v[k] + 0.001 * g * g
            root = np.sqrt(v[k] / (1 - 0.999**t)) + 1e-3
            weights[k] -= 1e-4 * m[k] / (1 - 0.5**t) / root
        assert model.step(recipe, *probe("digits_vae", t)) == terms
    moments = model.moments()
    for k, weight in model.state_dict().items():
        np.testing.assert_allclose(weight, weights[k], rtol=0, atol=1e-15)
        np.testing.assert_allclose(moments["exp_avg"][k], m[k], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(moments["exp_avg_sq"][k], v[k], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_two_optimisers_equal_one_bit_for_bit(name):
    from vae_jax.parity.originals.paddle import paddle

    two, one = small(name, np.float64), small(name, np.float64)
    everything = [p for layer in one.parts.values() for p in layer.parameters()]
    one.optimizers = [paddle.optimizer.Adam(learning_rate=1e-4, beta1=0.5, parameters=everything)]
    for t in range(20):
        assert two.step(RECIPE, *probe(name, t)) == one.step(RECIPE, *probe(name, t))
    assert_same(two.state_dict(), one.state_dict())
    for moment, tensors in two.moments().items():
        assert_same(tensors, one.moments()[moment])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_trajectory_repeats_bit_for_bit(dtype):
    first, second = (small("digits_cvae", dtype) for _ in range(2))
    for t in range(20):
        values = probe("digits_cvae", t)
        assert first.step(RECIPE, *values) == second.step(RECIPE, *values)
    assert_same(first.state_dict(), second.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_saved_files_have_the_tutorials_names_and_give_the_same_outputs(name, tmp_path):
    model, other = small(name, np.float32), small(name, np.float32, seed=1)
    paths = model.save(tmp_path, "D")
    end = {"digits_vae": "False.pdparams", "digits_cvae": "True.pdparams"}[name]
    assert [path.name for path in paths] == [f"D_encoder_{end}", f"D_decoder_{end}"]
    before = other.forward(*probe(name))
    other.load(*paths)
    assert not np.array_equal(before["image"], model.forward(*probe(name))["image"])
    assert_same(other.forward(*probe(name)), model.forward(*probe(name)))
    double = small(name, np.float64, seed=1)
    double.load(*paths)
    assert_same(double.state_dict(), model.state_dict())
    with paths[0].open("rb") as file:
        stored = pickle.load(file)
    assert stored.pop("StructuredToParameterName@@").keys() == stored.keys()
    assert all(isinstance(array, np.ndarray) for array in stored.values())


def test_weights_of_another_size_are_refused(tmp_path):
    model = small("digits_vae", np.float32)
    paths = small("digits_vae", np.float32, latent_size=3).save(tmp_path)
    before = model.state_dict()
    with pytest.raises(CheckpointError, match=r"shape: decoder\.conv1\.weight, encoder\.conv_log"):
        model.load(*paths)
    assert_same(model.state_dict(), before)
    del before["decoder.conv4.bias"]
    with pytest.raises(CheckpointError, match=r"shape: decoder\.conv4\.bias$"):
        small("digits_vae", np.float32, before)


def test_weights_start_as_paddle_documents():
    tensors = reference("digits_cvae", np.float64, channels=64).state_dict()
    for name, weight in tensors.items():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif name in ("decoder.conv2.weight", "decoder.conv3.weight"):
            bound = np.sqrt(6 / (sum(weight.shape[:2]) * 16))
            assert 0.999 * bound < np.abs(weight).max() <= bound * (1 + 1e-6), name
            assert weight.std() == pytest.approx(bound / np.sqrt(3), rel=0.01), name
        else:
            std = np.sqrt(2 / np.prod(weight.shape[1:]))
            error = 5 / np.sqrt(2 * weight.size)
            assert weight.std() == pytest.approx(std, rel=error), name
            assert np.abs(weight).max() > 2.5 * std, name


def test_both_precisions_start_from_the_same_weights_and_seeds_differ():
    single, double = (small("digits_vae", d).state_dict() for d in (np.float32, np.float64))
    assert_same(single, double)
    other = small("digits_vae", np.float32, seed=1).state_dict()
    assert not np.array_equal(single["encoder.conv1.weight"], other["encoder.conv1.weight"])


def test_a_reference_leaves_the_others_and_paddles_own_state_alone():
    from vae_jax.parity.originals.paddle import paddle

    first = small("digits_vae", np.float64)
    paddle.seed(7)
    expected = paddle.randn([4]).numpy()
    paddle.seed(7)
    start = (second := small("digits_vae", np.float64)).state_dict()
    np.testing.assert_array_equal(paddle.randn([4]).numpy(), expected)
    assert paddle.get_default_dtype() == "float32"
    first.step(RECIPE, *probe("digits_vae"))
    assert_same(second.state_dict(), start)
    assert not np.array_equal(first.state_dict()["decoder.conv4.bias"], start["decoder.conv4.bias"])


def test_labels_are_asked_for_and_only_where_they_belong():
    image, noise, label = probe("digits_cvae")
    conditional, plain = small("digits_cvae", np.float32), small("digits_vae", np.float32)
    with pytest.raises(ValueError, match=r"shape None; this model takes \(3, 10\)"):
        conditional.forward(image, noise)
    with pytest.raises(ValueError, match=r"shape \(3,\); this model takes \(3, 10\)"):
        conditional.step(RECIPE, image, noise, label.argmax(axis=1))
    with pytest.raises(ValueError, match=r"shape \(3, 10\); this model takes None"):
        plain.backward(image, noise, label)


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_has_every_layer_in_the_order_of_the_calls(name):
    model = small(name, np.float64)
    layers, outputs = model.trace(*probe(name))
    names = [n.rpartition(".")[0] for n in model.state_dict() if n.endswith("weight")]
    assert list(layers) == [n + end for n in names for end in (" (input)", "")]
    assert_same(outputs, model.forward(*probe(name)))
    np.testing.assert_array_equal(layers["encoder.conv_mean"][:, :, 0, 0], outputs["mean"])
    flat = F.leaky_relu(torch.tensor(layers["encoder.conv2"]), 0.01).reshape(BATCH, -1, 1, 1)
    np.testing.assert_allclose(layers["encoder.conv_mean (input)"], flat, rtol=1e-15)
    image = np.tanh(layers["decoder.conv4"]).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(outputs["image"], image, rtol=0, atol=1e-15)
    assert_same(model.trace(*probe(name), train=True)[0], layers)


def test_a_reset_reference_is_as_good_as_new():
    model = small("digits_vae", np.float64)
    start = model.state_dict()
    first = model.step(RECIPE, *probe("digits_vae"))
    after, moments = model.state_dict(), model.moments()
    model.reset(start)
    assert_same(model.state_dict(), start)
    with pytest.raises(AssertionError, match="no step"):
        model.moments()
    assert model.step(RECIPE, *probe("digits_vae")) == first
    assert_same(model.state_dict(), after)
    for moment, tensors in model.moments().items():
        assert_same(tensors, moments[moment])


def test_the_optimiser_by_itself_is_adam():
    recipe, rng = RECIPE.replace(epsilon=1e-3), np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(4, 5))
    found = list(small("digits_vae", np.float64).updates(recipe, start, gradients))
    parameter, m, v = start.copy(), 0.0, 0.0
    for t, (g, own) in enumerate(zip(gradients, found, strict=True), 1):
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g * g
        parameter -= 1e-4 * m / (1 - 0.5**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-3)
        np.testing.assert_allclose(own, parameter, rtol=0, atol=1e-15)


AFTER_TENSORFLOW = """
import logging, os, sys, tensorflow
import vae_jax.recipe, vae_jax.typing
flags, environment = sys.getdlopenflags(), dict(os.environ)
from vae_jax.parity.backends.paddle import PaddleReference, versions
assert os.environ == environment, set(os.environ) - set(environment)
assert sys.getdlopenflags() == flags
assert logging.getLogger().level == logging.WARNING
import numpy as np
image, noise = np.zeros((2, 28, 28, 1)), np.zeros((2, 2))
print(PaddleReference("digits_vae", np.float64).forward(image, noise)["image"].shape)
print(float(tensorflow.reduce_sum(tensorflow.ones((2, 2)))), versions().split(".")[0])
"""


@pytest.mark.tensorflow
def test_paddle_loads_after_tensorflow_and_leaves_the_process_as_it_was():
    run = subprocess.run([sys.executable, "-c", AFTER_TENSORFLOW], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[:2] == ["(2, 28, 28, 1)", "4.0 Paddle 3"]
