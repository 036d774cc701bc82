"""stddev_vae keeps tutorial 003's habits: TensorFlow's padding, idle biases, a raw deviation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax
from vae_jax.distributions import Bernoulli, OffsetBernoulli, SignedGaussian
from vae_jax.layers import Conv, ConvTranspose
from vae_jax.models import variable_shapes

SOUND = {"latent_size": 2, "sound_likelihood": True}
PLAIN = {"latent_size": 2}
IDLE = ["generation/g_h1/b", "generation/g_h2/b"]


def tensors_of(seed=0, scale=0.05, dtype=np.float32):
    """The reference's tensors, none of them zero: the idle biases must be seen to be idle."""
    model, rng = vae_jax.create_model("stddev_vae", **PLAIN), np.random.default_rng(seed)
    shapes = variable_shapes(model)
    rules = vae_jax.MODELS["stddev_vae"].rules(model)
    return {r.source: (scale * rng.normal(size=shapes[r.target])).astype(dtype) for r in rules}


def batch_of(dtype=np.float32, size=3):
    rng = np.random.default_rng(1)
    image = rng.uniform(size=(size, 28, 28, 1)).astype(dtype)
    return {"image": image}, rng.normal(size=(size, 2)).astype(dtype)


def params_of(tensors):
    return vae_jax.import_weights("stddev_vae", tensors, **PLAIN)["params"]


@functools.cache
def compiled(sound):
    loss = vae_jax.make_loss("stddev_vae", **(SOUND if sound else PLAIN))
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def gradient_of(tensors, hyper, dtype):
    batch, noise = batch_of(dtype)
    run = compiled(hyper is SOUND)
    (total, (metrics, _)), gradients = run(params_of(tensors), {}, batch, noise)
    return total, metrics, gradients


def apply(layer, image, kernel):
    variables = {"params": {"kernel": kernel, "bias": np.zeros(1, np.float32)}}
    return np.asarray(layer.apply(variables, image))[0, :, :, 0]


@pytest.mark.parametrize("size", [8, 14, 28])
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
    tensors = tensors_of()
    total, _, gradients = gradient_of(tensors, PLAIN, np.float32)
    found = vae_jax.export_weights("stddev_vae", {"params": gradients}, **PLAIN)
    zero = [name for name, gradient in found.items() if not gradient.any()]
    assert sorted(zero) == IDLE
    moved = tensors | {name: np.full_like(tensors[name], 1e6) for name in IDLE}
    again, _, others = gradient_of(moved, PLAIN, np.float32)
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


def test_both_likelihoods_agree_in_float64_for_moderate_logits():
    with jax.enable_x64(True):
        tensors = tensors_of(dtype=np.float64)
        seen = [gradient_of(tensors, hyper, np.float64) for hyper in (PLAIN, SOUND)]
        (total, terms, gradients), (sound_total, sound_terms, sound_gradients) = seen
        np.testing.assert_allclose(sound_total, total, rtol=1e-6)
        np.testing.assert_array_equal(sound_terms["kl_divergence"], terms["kl_divergence"])
        for sound, plain in zip(*map(jax.tree.leaves, (sound_gradients, gradients)), strict=True):
            scale = float(np.abs(plain).max())
            np.testing.assert_allclose(sound, plain, rtol=0, atol=1e-6 * scale)


def saturating():
    """Weights whose logits are beyond 100: in float32 the sigmoid of those is exactly 1."""
    tensors = tensors_of()
    for name in ("generation/z_matrix/bias", "generation/g_h1/w", "generation/g_h2/w"):
        tensors[name] = np.abs(tensors[name]) * 20
    return tensors


def test_the_sound_likelihood_stays_finite_where_the_original_is_not_a_number():
    tensors = saturating()
    model, variables = vae_jax.create_model("stddev_vae", **SOUND), {"params": params_of(tensors)}
    said = model.apply(variables, np.zeros((1, 2), np.float32), method="observation")
    assert (np.asarray(said.mean) == 1).any()  # white pixels, exactly
    plain, terms, gradients = gradient_of(tensors, PLAIN, np.float32)
    assert not np.isfinite(plain)
    assert np.isfinite(terms["kl_divergence"])
    assert not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    sound, _, gradients = gradient_of(tensors, SOUND, np.float32)
    assert np.isfinite(sound)
    for leaf in jax.tree.leaves(gradients):
        assert np.isfinite(leaf).all()
    assert any(np.abs(leaf).max() > 1 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize(("hyper", "kind"), [(PLAIN, OffsetBernoulli), (SOUND, Bernoulli)])
def test_the_decoded_image_is_the_same_under_either_likelihood(hyper, kind):
    z = np.random.default_rng(2).normal(size=(2, 2)).astype(np.float32)
    variables = {"params": params_of(tensors_of())}
    said = vae_jax.create_model("stddev_vae", **hyper).apply(variables, z, method="observation")
    assert isinstance(said, kind)
    plain = vae_jax.create_model("stddev_vae", **PLAIN).apply(variables, z, method="decode")
    np.testing.assert_array_equal(said.mean, plain)


def test_a_negative_deviation_mirrors_the_noise_and_leaves_the_divergence():
    model, params = vae_jax.create_model("stddev_vae", **PLAIN), params_of(tensors_of(scale=0.2))
    batch, noise = batch_of()
    mirrored = jax.tree.map(np.array, params)
    for leaf in mirrored["recognition"]["w_stddev"].values():
        leaf *= -1
    one, other = (
        model.apply({"params": p}, batch["image"], method="encode") for p in (params, mirrored)
    )
    assert isinstance(one, SignedGaussian)
    assert (other.std < 0).any()
    np.testing.assert_array_equal(other.std, -one.std)
    np.testing.assert_array_equal(other.kl_divergence(), one.kl_divergence())
    np.testing.assert_array_equal(other.reparameterize(noise), one.reparameterize(-noise))
    mean, std = (np.asarray(head, np.float64) for head in one)
    expected = 0.5 * (mean**2 + std**2 - np.log(std**2) - 1).sum(axis=1)
    np.testing.assert_allclose(one.kl_divergence(), expected, rtol=1e-5)


def test_a_deviation_of_zero_has_an_infinite_divergence_as_the_original():
    posterior = SignedGaussian(jnp.zeros((1, 2)), jnp.asarray([[0.0, 1.0]]))
    assert posterior.kl_divergence() == np.inf
