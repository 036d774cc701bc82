"""The TensorFlow backend against the same formulas written in NumPy, and against itself."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from vae_jax.errors import CheckpointError
from vae_jax.recipe import Recipe

pytestmark = pytest.mark.tensorflow

RECIPE = Recipe(data="digits", epochs=1, batch_size=2, learning_rate=1e-3)
SHAPES = {
    "recognition/d_h1/w": (5, 5, 1, 16),
    "recognition/d_h1/b": (16,),
    "recognition/d_h2/w": (5, 5, 16, 32),
    "recognition/d_h2/b": (32,),
    "recognition/w_mean/Matrix": (1568, 20),
    "recognition/w_mean/bias": (20,),
    "recognition/w_stddev/Matrix": (1568, 20),
    "recognition/w_stddev/bias": (20,),
    "generation/z_matrix/Matrix": (20, 1568),
    "generation/z_matrix/bias": (1568,),
    "generation/g_h1/w": (5, 5, 16, 32),
    "generation/g_h1/b": (16,),
    "generation/g_h2/w": (5, 5, 1, 16),
    "generation/g_h2/b": (1,),
}
NEVER_ADDED = ("generation/g_h1/b", "generation/g_h2/b")


def reference(dtype: Any = np.float64, tensors=None, **options):
    from vae_jax.parity.backends.tensorflow import TensorFlowReference

    return TensorFlowReference("stddev_vae", dtype, tensors, **options)


@pytest.fixture(scope="module")
def model():
    """One instance for the tests that do not train it, with random weights and biases."""
    rng = np.random.default_rng(3)
    return reference(tensors={name: rng.normal(0, 0.1, s) for name, s in SHAPES.items()})


def batch(seed=0, size=2, latent_size=20):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(size, 28, 28, 1)), rng.normal(size=(size, latent_size))


def convolve(x, kernel):
    """SAME at stride 2: one row and column of zeros before an even image, two after it."""
    padded = np.pad(x, [(0, 0), (1, 2), (1, 2), (0, 0)])
    size = x.shape[1] // 2
    return sum(
        padded[:, i : i + 2 * size : 2, j : j + 2 * size : 2] @ kernel[i, j]
        for i in range(5)
        for j in range(5)
    )


def convolve_back(x, kernel):
    """The transpose of ``convolve``: each pixel adds its patch; the padding is cut off."""
    size = 2 * x.shape[1]
    padded = np.zeros((len(x), size + 3, size + 3, kernel.shape[2]), np.result_type(x, kernel))
    for i in range(5):
        for j in range(5):
            padded[:, i : i + size : 2, j : j + size : 2] += x @ kernel[i, j].T
    return padded[:, 1:-2, 1:-2]


def relu(x, slope=0.0):
    """Without a comparison of complex numbers, so that complex steps pass."""
    return np.where(x.real > 0, x, slope * x)


def in_numpy(weights, image, noise):
    """Heads, decoded images and loss terms."""
    w = {name.split("/", 1)[1]: value for name, value in weights.items()}
    h = relu(convolve(image, w["d_h1/w"]) + w["d_h1/b"], 0.2)
    h = relu(convolve(h, w["d_h2/w"]) + w["d_h2/b"], 0.2).reshape(len(image), -1)
    mean = h @ w["w_mean/Matrix"] + w["w_mean/bias"]
    std = h @ w["w_stddev/Matrix"] + w["w_stddev/bias"]
    h = (mean + std * noise) @ w["z_matrix/Matrix"] + w["z_matrix/bias"]
    h = relu(convolve_back(relu(h).reshape(-1, 7, 7, 32), w["g_h1/w"]))
    g = 1 / (1 + np.exp(-convolve_back(h, w["g_h2/w"])))
    likelihood = image * np.log(1e-8 + g) + (1 - image) * np.log(1e-8 + 1 - g)
    divergence = 0.5 * (mean**2 + std**2 - np.log(std**2) - 1)
    terms = {
        "reconstruction": -likelihood.sum((1, 2, 3)).mean(),
        "kl_divergence": divergence.sum(1).mean(),
    }
    return {"mean": mean, "std": std, "image": g}, {"loss": sum(terms.values()), **terms}


def test_the_variables_have_the_originals_names_shapes_order_and_initial_distributions():
    state = reference(np.float32).state_dict()
    assert {name: value.shape for name, value in state.items()} == SHAPES
    assert list(state) == list(SHAPES)
    for name, value in state.items():
        assert value.dtype == np.float32
        if name.endswith(("/b", "/bias")):
            assert not value.any(), name
        elif name.endswith("Matrix"):
            assert value.std() == pytest.approx(0.02, rel=0.03)
            assert abs(value).max() > 0.06
        else:
            assert 0.034 < abs(value).max() <= 0.04, name


def test_same_padding_puts_one_row_before_and_two_after_an_even_image():
    weights = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    weights["recognition/d_h1/w"][0, 0] = 1  # the corner of the window alone
    from vae_jax.parity.originals.tensorflow import tf

    model = reference(tensors=weights)
    with model.graph.as_default():
        found = tf.nn.conv2d(model.image, weights["recognition/d_h1/w"][..., :1], 2, "SAME")
    image = np.arange(784.0).reshape(1, 28, 28, 1)
    corners = model.session.run(found, {model.image: image})[0, :, :, 0]
    expected = np.zeros((14, 14))
    expected[1:, 1:] = image[0, 1:-1:2, 1:-1:2, 0]
    np.testing.assert_array_equal(corners, expected)


def test_outputs_and_loss_terms_are_the_formulas(model):
    image, noise = batch(size=3)
    outputs, terms = in_numpy(model.state_dict(), image, noise)
    found = model.forward(image, noise, None)
    assert list(found) == ["mean", "std", "image"]
    assert (found["std"] < 0).any()
    assert (found["std"] > 0).any()
    for name, value in outputs.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, atol=1e-12, err_msg=name)
    found_terms, _ = model.backward(image, noise)
    assert found_terms == pytest.approx(terms, rel=1e-13)
    assert all(type(value) is float for value in found_terms.values())


def test_every_gradient_is_that_of_the_formulas(model):
    image, noise = batch(seed=1)
    state = model.state_dict()
    _, gradients = model.backward(image, noise)
    assert list(gradients) == list(SHAPES)
    for name, value in state.items():
        # A complex step: the derivative in a random direction, without cancellation.
        direction = np.random.default_rng(0).normal(size=value.shape)
        moved = state | {name: value + 1e-30j * direction}
        expected = in_numpy(moved, image, noise)[1]["loss"].imag * 1e30
        scale = np.linalg.norm(gradients[name]) * np.linalg.norm(direction)
        assert abs((gradients[name] * direction).sum() - expected) <= 1e-12 * scale, name


def test_the_sound_likelihood_is_the_cross_entropy_of_the_logits():
    image, noise = batch()
    usual = reference(latent_size=3, seed=1)
    sound = reference(latent_size=3, tensors=usual.state_dict(), sound_likelihood=True)
    noise = noise[:, :3]
    for name, value in usual.forward(image, noise).items():
        np.testing.assert_array_equal(sound.forward(image, noise)[name], value)
    g = sound.forward(image, noise)["image"]
    expected = -(image * np.log(g) + (1 - image) * np.log1p(-g)).sum((1, 2, 3)).mean()
    terms, _ = sound.backward(image, noise)
    assert terms["reconstruction"] == pytest.approx(expected, rel=1e-13)
    usual_terms, _ = usual.backward(image, noise)
    assert terms["kl_divergence"] == usual_terms["kl_divergence"]
    assert terms["reconstruction"] != usual_terms["reconstruction"]


def saturated(dtype, **options):
    """A model whose every pixel is beyond what a float32 sigmoid can tell from 1."""
    weights = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    weights["recognition/w_stddev/bias"] += 1
    for name in ("generation/z_matrix/bias", "generation/g_h1/w", "generation/g_h2/w"):
        weights[name] += 1
    return reference(dtype, weights, **options)


def test_in_float32_the_originals_offset_vanishes_where_the_sigmoid_is_one():
    image, noise = np.ones((1, 28, 28, 1)), np.zeros((1, 20))
    assert np.isnan(saturated(np.float32).backward(image, noise)[0]["reconstruction"])
    exact = saturated(np.float64).backward(image, noise)[0]["reconstruction"]
    assert exact == pytest.approx(-784 * np.log1p(1e-8))
    sound = saturated(np.float32, sound_likelihood=True).backward(image, noise)[0]
    assert sound["reconstruction"] == 0


def test_three_steps_follow_tensorflows_adam():
    trained = reference(latent_size=4, seed=2)
    recipe = RECIPE.replace(learning_rate=3e-3, beta1=0.7, beta2=0.95, epsilon=1e-3)
    weights = trained.state_dict()
    first, second = ({k: np.zeros_like(v) for k, v in weights.items()} for _ in range(2))
    for step in range(1, 4):
        image, noise = batch(step, latent_size=4)
        oracle = reference(latent_size=4, tensors=weights)
        terms, gradients = oracle.backward(image, noise)
        assert trained.step(recipe, image, noise) == pytest.approx(terms, rel=1e-12)
        rate = 3e-3 * np.sqrt(1 - 0.95**step) / (1 - 0.7**step)
        for name, gradient in gradients.items():
            first[name] = 0.7 * first[name] + 0.3 * gradient
            second[name] = 0.95 * second[name] + 0.05 * gradient**2
            # Epsilon beside the root that is not corrected for bias.
            weights[name] = weights[name] - rate * first[name] / (np.sqrt(second[name]) + 1e-3)
    moments = trained.moments()
    for name, value in trained.state_dict().items():
        np.testing.assert_allclose(value, weights[name], rtol=0, atol=1e-12, err_msg=name)
        assert moments["exp_avg"][name] == pytest.approx(first[name], rel=1e-10, abs=1e-13)
        assert moments["exp_avg_sq"][name] == pytest.approx(second[name], rel=1e-10, abs=1e-13)


def test_the_biases_that_are_never_added_have_no_gradient_and_never_move(model):
    image, noise = batch()
    trained = reference(np.float32, model.state_dict())
    before, outputs = trained.state_dict(), trained.forward(image, noise)
    for _ in range(2):
        trained.step(RECIPE, image, noise)
    _, gradients = trained.backward(image, noise)
    moments = trained.moments()
    for name, value in trained.state_dict().items():
        never = name in NEVER_ADDED
        assert np.array_equal(value, before[name]) == never, name
        for found in (gradients, moments["exp_avg"], moments["exp_avg_sq"]):
            assert found[name].shape == SHAPES[name]
            assert found[name].any() != never, name
    others = before | {name: before[name] + 5 for name in NEVER_ADDED}
    for name, value in reference(np.float32, others).forward(image, noise).items():
        np.testing.assert_array_equal(value, outputs[name])


def test_instances_are_independent_and_seeds_repeat():
    image, noise = batch(latent_size=2)
    one, same, other = (reference(latent_size=2, seed=seed) for seed in (1, 1, 2))
    before = same.state_dict()
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert (other.state_dict()["recognition/d_h1/w"] != before["recognition/d_h1/w"]).any()
    one.step(RECIPE, image, noise)
    for name, value in same.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    with pytest.raises(AssertionError, match="no step"):
        same.moments()


def test_a_checkpoint_of_the_original_restores_the_variables_alone(tmp_path):
    from vae_jax.parity.originals.tensorflow import tf

    image, noise = batch(latent_size=2)
    saved = reference(np.float32, latent_size=2, seed=1)
    saved.step(RECIPE, image, noise)
    prefix = saved.save(tmp_path / "train", global_step=9)
    assert prefix == str(tmp_path / "train-9")
    assert {file.name for file in tmp_path.iterdir()} == {
        "checkpoint",
        "train-9.index",
        "train-9.data-00000-of-00001",
        "train-9.meta",
    }
    found = dict(tf.train.list_variables(prefix))
    moving = [name for name in SHAPES if name not in NEVER_ADDED]
    slots = {f"{name}/{slot}" for name in moving for slot in ("Adam", "Adam_1")}
    assert found.keys() == {*SHAPES, *slots, "beta1_power", "beta2_power"}
    restored = reference(np.float32, latent_size=2, seed=2)
    restored.restore(prefix)
    for name, value in saved.forward(image, noise).items():
        np.testing.assert_array_equal(restored.forward(image, noise)[name], value)
    for name, value in saved.state_dict().items():
        np.testing.assert_array_equal(restored.state_dict()[name], value)


def test_weights_with_slots_beside_them_are_taken_and_incomplete_ones_refused(model):
    state = model.state_dict()
    more = reference(tensors=state | {"beta1_power": np.zeros(())}).state_dict()
    assert list(more) == list(SHAPES)
    with pytest.raises(CheckpointError, match="nothing under 'generation/g_h2/b'"):
        reference(tensors={k: v for k, v in state.items() if k != "generation/g_h2/b"})
    with pytest.raises(CheckpointError, match=r"\(1568, 20\) under .*w_mean.*\(1568, 7\)"):
        reference(
            tensors=state | {"recognition/d_h1/w": state["recognition/d_h1/w"]}, latent_size=7
        )


def test_a_trace_has_every_layer_in_the_order_of_the_calls(model):
    image, noise = batch(seed=4)
    layers, outputs = model.trace(image, noise)
    names = [name.rpartition("/")[0] for name in SHAPES][::2]
    assert list(layers) == [n + end for n in names for end in (" (input)", "")]
    for name, value in model.forward(image, noise).items():
        np.testing.assert_array_equal(outputs[name], value)
    state = model.state_dict()
    np.testing.assert_array_equal(layers["recognition/d_h1 (input)"], image)
    first = convolve(image, state["recognition/d_h1/w"]) + state["recognition/d_h1/b"]
    np.testing.assert_allclose(layers["recognition/d_h1"], first, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        layers["recognition/d_h2 (input)"], relu(first, 0.2), rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(layers["recognition/w_stddev"], outputs["std"])
    latent = outputs["mean"] + outputs["std"] * noise
    np.testing.assert_allclose(layers["generation/z_matrix (input)"], latent, rtol=1e-15)
    logistic = 1 / (1 + np.exp(-layers["generation/g_h2"]))
    np.testing.assert_allclose(outputs["image"], logistic, rtol=0, atol=1e-12)


def test_a_reset_reference_is_as_good_as_new():
    model, (image, noise) = reference(latent_size=2), batch(latent_size=2)
    start = model.state_dict()
    first = model.step(RECIPE, image, noise)
    after, moments = model.state_dict(), model.moments()
    model.step(RECIPE, image, noise)
    model.reset(start)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, start[name])
    assert not any(m.any() for found in model.moments().values() for m in found.values())
    assert model.step(RECIPE, image, noise) == first
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, after[name])
        for moment, found in model.moments().items():
            np.testing.assert_array_equal(found[name], moments[moment][name])


def test_the_optimiser_by_itself_is_tensorflows_adam(model):
    recipe = RECIPE.replace(learning_rate=3e-3, beta1=0.7, beta2=0.95, epsilon=1e-3)
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(4, 5))
    found = list(model.updates(recipe, start, gradients))
    parameter, m, v = start.copy(), 0.0, 0.0
    for t, (g, own) in enumerate(zip(gradients, found, strict=True), 1):
        m, v = 0.7 * m + 0.3 * g, 0.95 * v + 0.05 * g * g
        rate = 3e-3 * np.sqrt(1 - 0.95**t) / (1 - 0.7**t)
        parameter -= rate * m / (np.sqrt(v) + 1e-3)
        np.testing.assert_allclose(own, parameter, rtol=0, atol=1e-14)


def test_nothing_is_said_on_the_terminal(tmp_path):
    from vae_jax.parity.originals.tensorflow import tf

    code = (
        "import numpy as np\n"
        "from vae_jax.convert.tensorflow.checkpoint import read_tensorflow\n"
        "from vae_jax.convert.tensorflow.write import write_tensorflow\n"
        "from vae_jax.parity.backends.tensorflow import TensorFlowReference, versions\n"
        "from vae_jax.recipe import Recipe\n"
        "model = TensorFlowReference('stddev_vae', np.float32)\n"
        "recipe = Recipe(data='digits', epochs=1, batch_size=1, learning_rate=1e-3)\n"
        "model.step(recipe, np.ones((1, 28, 28, 1)), np.ones((1, 20)))\n"
        "write_tensorflow('copy', read_tensorflow(model.save('train', global_step=9)))\n"
        "model.restore('copy')\n"
        "print(versions())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == f"TensorFlow {tf.__version__}\n"
    assert done.stderr == ""
