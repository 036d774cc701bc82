"""stddev_vae keeps tutorial 003's habits: TensorFlow's padding, idle biases, a raw deviation."""

import jax
import numpy as np
import pytest

import vae_jax
from vae_jax.convert.mapping import ignored_tensors
from vae_jax.distributions import Bernoulli, OffsetBernoulli, SignedGaussian
from vae_jax.layers import Conv, ConvTranspose
from vae_jax.models import variable_shapes

SOUND = {"latent_size": 2, "sound_likelihood": True}
PLAIN = {"latent_size": 2}
IDLE = ["generation/g_h1/b", "generation/g_h2/b"]


def tensors_of(scale=0.05):
    """The reference's tensors, none of them zero: the idle biases must be seen to be idle."""
    model, rng = vae_jax.create_model("stddev_vae", **PLAIN), np.random.default_rng(0)
    shapes = variable_shapes(model)
    rules = vae_jax.MODELS["stddev_vae"].rules(model)
    return {r.source: (scale * rng.normal(size=shapes[r.target])).astype(np.float32) for r in rules}


def params_of(tensors):
    return vae_jax.import_weights("stddev_vae", tensors, **PLAIN)["params"]


def apply(layer, image, kernel):
    variables = {"params": {"kernel": kernel, "bias": np.zeros(1, np.float32)}}
    return np.asarray(layer.apply(variables, image))[0, :, :, 0]


@pytest.mark.parametrize("size", [8, 14])
def test_a_convolution_pads_one_zero_before_and_two_behind(size):
    """Output i sees inputs 2i - 1 to 2i + 3: an impulse tells by which of the kernel's numbers."""
    kernel = np.arange(1, 26, dtype=np.float32).reshape(5, 5, 1, 1)
    layer = Conv(1, 5, 2, "SAME")
    for row, column in [(0, 0), (1, 2), (size - 1, size - 1), (size - 2, 0)]:
        image = np.zeros((1, size, size, 1), np.float32)
        image[0, row, column] = 1
        expected = np.zeros((size // 2, size // 2), np.float32)
        for i in range(size // 2):
            for j in range(size // 2):
                y, x = row - (2 * i - 1), column - (2 * j - 1)
                if 0 <= y < 5 and 0 <= x < 5:
                    expected[i, j] = kernel[y, x, 0, 0]
        np.testing.assert_array_equal(apply(layer, image, kernel), expected)


def test_a_transposed_convolution_crops_one_before_and_two_behind():
    kernel = np.arange(1, 26, dtype=np.float32).reshape(5, 5, 1, 1)
    layer = ConvTranspose(1, 5, 2, "SAME")
    for row, column in [(0, 0), (3, 2), (6, 6)]:
        image = np.zeros((1, 7, 7, 1), np.float32)
        image[0, row, column] = 1
        whole = np.zeros((17, 17), np.float32)  # 7 * 2 + 1 + 2
        whole[2 * row : 2 * row + 5, 2 * column : 2 * column + 5] = kernel[:, :, 0, 0]
        np.testing.assert_array_equal(apply(layer, image, kernel), whole[1:-2, 1:-2])


def test_the_idle_biases_change_nothing_and_have_no_gradient_while_all_others_do():
    loss = jax.jit(jax.value_and_grad(vae_jax.make_loss("stddev_vae", **PLAIN), has_aux=True))
    rng, tensors = np.random.default_rng(1), tensors_of()
    batch = {"image": rng.uniform(size=(3, 28, 28, 1)).astype(np.float32)}
    noise = rng.normal(size=(3, 2)).astype(np.float32)
    (total, _), gradients = loss(params_of(tensors), {}, batch, noise)
    found = vae_jax.export_weights("stddev_vae", {"params": gradients}, **PLAIN)
    zero = [name for name, gradient in found.items() if not gradient.any()]
    assert sorted(zero) == IDLE
    moved = tensors | {name: np.full_like(tensors[name], 1e6) for name in IDLE}
    (again, _), others = loss(params_of(moved), {}, batch, noise)
    assert float(again) == float(total)
    jax.tree.map(np.testing.assert_array_equal, others, gradients)


def test_the_idle_biases_are_kept_for_export():
    tensors = tensors_of()
    variables = vae_jax.import_weights("stddev_vae", tensors, **PLAIN)
    exported = vae_jax.export_weights("stddev_vae", variables, **PLAIN)
    for name in IDLE:
        assert exported[name].tobytes() == tensors[name].tobytes()
    noted = vae_jax.MODELS["stddev_vae"].rules(vae_jax.create_model("stddev_vae"))
    assert sorted(rule.source for rule in noted if rule.note) == IDLE


@pytest.mark.slow
def test_either_likelihood_is_of_the_same_images_and_the_head_is_a_deviation_of_either_sign():
    rng, variables = np.random.default_rng(2), {"params": params_of(tensors_of(scale=0.2))}
    z = rng.normal(size=(2, 2)).astype(np.float32)
    plain, sound = (
        vae_jax.create_model("stddev_vae", **hyper).apply(variables, z, method="image_likelihood")
        for hyper in (PLAIN, SOUND)
    )
    assert isinstance(plain, OffsetBernoulli)
    assert isinstance(sound, Bernoulli)
    np.testing.assert_array_equal(sound.mean, plain.mean)
    posterior = vae_jax.create_model("stddev_vae", **PLAIN).apply(
        variables, rng.uniform(size=(8, 28, 28, 1)).astype(np.float32), method="encode"
    )
    assert isinstance(posterior, SignedGaussian)
    assert (posterior.std < 0).any()
    assert (posterior.std > 0).any()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("recognition/d_h1/w/Adam_1", "a moment of the original's Adam"),
        ("train/recognition/w_mean/bias/Adam", "a moment of the original's Adam"),
        ("generation/g_h1/w/RMSProp_2", "a slot of the original's optimiser, or an average"),
        ("generation/g_h1/w/ExponentialMovingAverage", "an average of the weights"),
        ("ema/generation/z_matrix/Matrix/ExponentialMovingAverage", "an average of the weights"),
        ("loss/beta1_power", "a counter of the original's Adam"),
        ("train/global_step", "a count of the original's steps or epochs"),
        ("epoch", "a count of the original's steps or epochs"),
        ("OptimizeLoss/learning_rate", "a setting of the original's training"),
    ],
)
def test_what_a_training_saves_beside_the_weights_is_left_out_with_a_reason(name, reason):
    assert ignored_tensors("stddev_vae", [name]) == {name: reason}


@pytest.mark.parametrize(
    "name", ["recognition/d_h3/w", "recognition/d_h1/w", "generation/g_h1/scale", "a/w", "stepper"]
)
def test_another_variable_is_not_left_out(name):
    assert ignored_tensors("stddev_vae", [name]) == {}
