"""The loss is the tutorials'; padding leaves no trace in it; a recipe's numbers reach it."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import vae_jax
from vae_jax.distributions import DiagonalGaussian, SquaredError
from vae_jax.errors import UserError
from vae_jax.layers import BatchNorm, Conv, Dense
from vae_jax.models.base import Autoencoder
from vae_jax.objectives import loss_terms
from vae_jax.parity.backends.flax import Port
from vae_jax.parity.backends.pytorch import TorchReference

GARBAGE = 0.123  # what fills the images of padded rows


class TinyVAE(Autoencoder):
    """A variational model with a batch norm on either side, quick to compile."""

    latent_size: int = 2
    image_shape: ClassVar[tuple[int, int, int]] = (4, 6, 1)

    def setup(self):
        self.conv, self.norm = Conv(3, 3, padding=1), BatchNorm()
        self.mean, self.log_std = Dense(self.latent_size), Dense(self.latent_size)
        self.lin, self.norm2, self.out = Dense(24), BatchNorm(), Conv(1, 3, padding=1)

    def encode(self, x, *, train=False, mask=None):
        x = nn.relu(self.norm(self.conv(x), train=train, mask=mask))
        x = x.reshape(x.shape[0], -1)
        return DiagonalGaussian(self.mean(x), self.log_std(x))

    def observation(self, z, *, train=False, mask=None):
        x = self.lin(z).reshape(-1, *self.image_shape)
        x = self.out(nn.relu(self.norm2(x, train=train, mask=mask)))
        return SquaredError(nn.sigmoid(x))


@pytest.fixture
def tiny(monkeypatch):
    """The small model's name, in the table of models for one test."""
    spec = dataclasses.replace(vae_jax.MODELS["face_vae"], name="tiny", module=TinyVAE)
    monkeypatch.setitem(vae_jax.MODELS, "tiny", spec)
    return "tiny"


def start(name, dtype=np.float32, batch=3):
    """Random parameters and statistics, a batch, and noise."""
    model, rng = vae_jax.create_model(name), np.random.default_rng(0)
    image = rng.uniform(size=(batch, *model.image_shape)).astype(dtype)
    noise = rng.normal(size=(batch, model.latent_size)).astype(dtype)
    shapes = jax.eval_shape(
        lambda key, x, e: model.init(key, x, noise=e),
        jax.random.key(0),
        jax.ShapeDtypeStruct(image.shape, jnp.float32),
        jax.ShapeDtypeStruct(noise.shape, jnp.float32),
    )

    def fill(leaf):
        if leaf.dtype == jnp.int32:
            return np.zeros(leaf.shape, np.int32)
        return rng.uniform(-0.5, 0.5, leaf.shape).astype(dtype)

    variables = jax.tree.map(fill, shapes)
    return variables["params"], variables.get("batch_stats", {}), {"image": image}, noise


def differentiate(loss):
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def pad(array, rows, value):
    return np.concatenate([array, np.full((rows, *array.shape[1:]), value, array.dtype)])


def assert_trees_close(actual, expected, tolerance, scales=None):
    """Leaf by leaf, relative to the largest value of the leaf (or of its layer)."""

    def check(path, a, b, scale):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(scale, 1e-300), jax.tree_util.keystr(path)

    scales = scales or jax.tree.map(lambda leaf: float(np.abs(leaf).max()), expected)
    jax.tree_util.tree_map_with_path(check, actual, expected, scales)


def layer_scales(gradients):
    """The largest gradient of each layer: that of a bias in front of a batch norm is zero in
    exact arithmetic, so its own size is rounding noise and no yardstick."""
    if all(not isinstance(v, dict) for v in gradients.values()):
        largest = max(float(np.abs(v).max()) for v in gradients.values())
        return dict.fromkeys(gradients, largest)
    return {k: layer_scales(v) for k, v in gradients.items()}


def assert_padding_changes_nothing(name, params, stats, batch, noise, padding):
    real = len(batch["image"])
    run = differentiate(vae_jax.make_loss(name))
    (loss, (metrics, new_stats)), gradients = run(params, stats, batch, noise)
    padded = {
        "image": pad(batch["image"], padding, GARBAGE),
        "mask": (np.arange(real + padding) < real).astype(np.float32),
    }
    long_noise = None if noise is None else pad(noise, padding, 3)
    (loss2, (metrics2, new_stats2)), gradients2 = run(params, stats, padded, long_noise)
    assert abs(loss2 - loss) < 1e-12 * loss
    assert_trees_close(metrics2, metrics, 1e-12)
    assert_trees_close(new_stats2, new_stats, 1e-12)
    assert_trees_close(gradients2, gradients, 1e-12, layer_scales(gradients))
    return jax.tree.map(np.asarray, (metrics, new_stats))


def test_squared_error_is_summed_within_each_image():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 2)).astype(np.float32)
    terms = SquaredError(y).reconstruction_loss(x)
    np.testing.assert_allclose(terms, ((x - y) ** 2).reshape(3, -1).sum(1), rtol=1e-6)
    assert loss_terms(x, SquaredError(y), np.zeros((3, 2))).keys() == {"reconstruction"}


def test_the_terms_of_a_posterior_are_listing_7_6():
    rng = np.random.default_rng(0)
    x, decoded = rng.uniform(size=(2, 3, 4, 5, 2))
    mean, log_std = rng.normal(size=(2, 3, 6))
    with jax.enable_x64(True):
        terms = jax.tree.map(
            np.asarray, loss_terms(x, SquaredError(decoded), DiagonalGaussian(mean, log_std))
        )
    mu, std = torch.tensor(mean), torch.exp(torch.tensor(log_std))
    kl = (std**2 / 2 + mu**2 / 2 - torch.log(std) - 1 / 2).sum().item()
    assert terms["kl_divergence"].shape == (3,)
    np.testing.assert_allclose(np.sum(terms["kl_divergence"]), kl, rtol=1e-13)
    expected = ((torch.tensor(x) - torch.tensor(decoded)) ** 2).sum().item()
    np.testing.assert_allclose(np.sum(terms["reconstruction"]), expected, rtol=1e-13)


def test_digits_ae_is_listing_7_3_with_its_gradients():
    reference = TorchReference("digits_ae", np.float64)
    image = np.random.default_rng(0).uniform(size=(5, 28, 28, 1))
    terms, gradients = reference.backward(image, None)
    with jax.enable_x64(True):
        port = Port("digits_ae", np.float64, reference.state_dict())
        actual, actual_gradients = port.backward(image, None)
        assert actual.keys() == terms.keys() == {"loss", "reconstruction"}
        assert_trees_close(actual, terms, 1e-13)
        assert_trees_close(actual_gradients, gradients, 1e-12)
        padding = (port.variables["params"], {}, {"image": image}, None, 3)
        metrics, stats = assert_padding_changes_nothing("digits_ae", *padding)
    assert_trees_close(metrics, terms, 1e-13)
    assert stats == {}


def test_face_vae_is_listing_7_6_and_padding_changes_nothing():
    reference = TorchReference("face_vae", np.float64)
    rng = np.random.default_rng(0)
    image, noise = rng.uniform(size=(2, 256, 256, 3)), rng.normal(size=(2, 100))
    tensors = reference.state_dict()
    terms = {k: float(v) for k, v in reference.backward(image, noise)[0].items()}
    assert terms.keys() == {"loss", "reconstruction", "kl_divergence"}
    after = reference.state_dict()
    with jax.enable_x64(True):
        variables = vae_jax.import_weights("face_vae", tensors)
        params, stats = variables["params"], variables["batch_stats"]
        metrics, new = assert_padding_changes_nothing(
            "face_vae", params, stats, {"image": image}, noise, 1
        )
        assert_trees_close(metrics, terms, 1e-13)
        exported = vae_jax.export_weights("face_vae", {"params": params, "batch_stats": new})
        for name in ("encoder.batch2", "decoder.decoder_conv.1", "decoder.decoder_conv.4"):
            for leaf in ("running_mean", "running_var", "num_batches_tracked"):
                key = f"{name}.{leaf}"
                np.testing.assert_allclose(exported[key], after[key], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("padding", [2])
def test_padding_changes_nothing_of_a_variational_model(tiny, padding):
    with jax.enable_x64(True):
        params, stats, batch, noise = start(tiny, np.float64)
        assert_padding_changes_nothing(tiny, params, stats, batch, noise, padding)


def test_forgetting_the_mask_would_be_seen(tiny):
    with jax.enable_x64(True):
        params, stats, batch, noise = start(tiny, np.float64)
        loss = jax.jit(vae_jax.make_loss(tiny))
        alone, (_, stats_alone) = loss(params, stats, batch, noise)
        longer, (_, stats_longer) = loss(
            params, stats, {"image": pad(batch["image"], 1, GARBAGE)}, pad(noise, 1, 3)
        )
    assert abs(float(longer) - float(alone)) > 1e-2 * float(alone)
    a, b = stats_longer["norm"]["var"], stats_alone["norm"]["var"]
    assert np.abs(a - b).max() > 1e-4


def test_beta_weighs_the_divergence_and_nothing_else(tiny):
    params, stats, batch, noise = start(tiny)
    recipe = vae_jax.MODELS[tiny].recipe
    seen = []
    for beta in (0.0, 1.0, 4.0):
        loss = jax.jit(vae_jax.make_loss(tiny, recipe=recipe.replace(beta=beta)))
        total, (metrics, _) = loss(params, stats, batch, noise)
        expected = metrics["reconstruction"] + beta * metrics["kl_divergence"]
        np.testing.assert_allclose(total, expected, rtol=1e-6)
        np.testing.assert_array_equal(total, metrics["loss"])
        seen.append((metrics["reconstruction"], metrics["kl_divergence"]))
    np.testing.assert_array_equal(seen, [seen[0]] * 3)  # the terms are reported unweighted
    assert seen[0][1] > 0


@pytest.mark.parametrize("padding", [0, 2])
def test_the_mean_is_the_sum_over_the_number_of_real_examples(tiny, padding):
    params, stats, batch, noise = start(tiny)
    if padding:
        mask = np.asarray([1, 1, 1, 0, 0], np.float32)
        batch, noise = {"image": pad(batch["image"], 2, GARBAGE), "mask": mask}, pad(noise, 2, 3)
    recipe = vae_jax.MODELS[tiny].recipe
    mean_loss = vae_jax.make_loss(tiny, recipe=recipe.replace(reduction="mean"))
    _, (summed, _) = jax.jit(vae_jax.make_loss(tiny))(params, stats, batch, noise)
    _, (averaged, _) = jax.jit(mean_loss)(params, stats, batch, noise)
    assert summed.keys() == averaged.keys() == {"loss", "reconstruction", "kl_divergence"}
    for name in summed:
        np.testing.assert_allclose(averaged[name], summed[name] / 3, rtol=1e-6)


def test_the_gradient_is_the_slope_of_the_loss(tiny):
    with jax.enable_x64(True):
        params, stats, batch, noise = start(tiny, np.float64)
        run = differentiate(vae_jax.make_loss(tiny))
        _, gradients = run(params, stats, batch, noise)
        rng, size = np.random.default_rng(1), 1e-6
        direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
        ends = [
            run(jax.tree.map(lambda p, d, s=s: p + s * d, params, direction), stats, batch, noise)
            for s in (-size, size)
        ]
        slope = (ends[1][0][0] - ends[0][0][0]) / (2 * size)
        products = jax.tree.map(lambda g, d: (g * d).sum(), gradients, direction)
        np.testing.assert_allclose(slope, sum(jax.tree.leaves(products)), rtol=1e-6)


def test_statistics_move_in_training_and_the_given_ones_stay(tiny):
    params, stats, batch, noise = start(tiny)
    before = jax.tree.map(np.array, stats)
    _, (_, new) = jax.jit(vae_jax.make_loss(tiny))(params, stats, batch, noise)
    jax.tree.map(np.testing.assert_array_equal, stats, before)
    assert jax.tree.structure(new) == jax.tree.structure(stats)
    for name in ("norm", "norm2"):
        assert new[name]["num_batches_tracked"] == 1
        assert np.abs(np.asarray(new[name]["mean"]) - stats[name]["mean"]).max() > 0


def test_steps_that_follow_each_other_are_traced_once(tiny):
    params, stats, batch, noise = start(tiny)
    traces, loss = [], vae_jax.make_loss(tiny)
    optimizer = vae_jax.make_optimizer(tiny)
    state = optimizer.init(params)

    @jax.jit
    def step(params, stats, state, batch, noise):
        traces.append(1)
        gradient = jax.value_and_grad(loss, has_aux=True)
        (_, (metrics, stats)), grads = gradient(params, stats, batch, noise)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), stats, state, metrics

    losses = []
    for _ in range(4):
        params, stats, state, metrics = step(params, stats, state, batch, noise)
        losses.append(float(metrics["loss"]))
    assert len(traces) == 1
    assert losses[-1] < losses[0]
    assert stats["norm"]["num_batches_tracked"] == 4


def test_unknown_models_and_hyperparameters_are_refused():
    with pytest.raises(UserError, match="there is no model 'vae'"):
        vae_jax.make_loss("vae")
    with pytest.raises(UserError, match="digits_ae has no hyperparameter 'width'"):
        vae_jax.make_loss("digits_ae", width=3)
