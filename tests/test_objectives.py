"""The loss joins its terms as a recipe says, the KL's weight rises, and padding leaves no trace.

(That its terms and gradients are the tutorials' is what parity checks, for every model.)
"""

import dataclasses
import functools
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vae_jax
from vae_jax.distributions import Deterministic, DiagonalGaussian, SquaredError
from vae_jax.errors import UserError
from vae_jax.layers import BatchNorm, Conv, Dense
from vae_jax.models import variable_shapes
from vae_jax.models.base import Autoencoder
from vae_jax.objectives import _beta, elbo, loss_terms
from vae_jax.training.state import TrainState
from vae_jax.training.step import Inputs, make_train_step

GARBAGE = 0.123  # what fills the images of padded rows
BETA, WARMUP = 2.5, 8
RISING = {"beta_warmup": WARMUP}


class TinyVAE(Autoencoder):
    """A variational model with a batch norm on either side, quick to compile."""

    latent_size: int = 2
    image_shape: ClassVar[tuple[int, int, int]] = (4, 6, 1)

    def setup(self):
        self.conv, self.norm = Conv(3, 3, padding=1), BatchNorm()
        self.mean, self.log_std = Dense(self.latent_size), Dense(self.latent_size)
        self.lin, self.norm2, self.out = Dense(24), BatchNorm(), Conv(1, 3, padding=1)

    def encode(self, x, label=None, *, train=False, mask=None):
        x = nn.relu(self.norm(self.conv(x), train=train, mask=mask))
        x = x.reshape(x.shape[0], -1)
        return DiagonalGaussian(self.mean(x), self.log_std(x))

    def image_likelihood(self, z, label=None, *, train=False, mask=None):
        x = self.lin(z).reshape(-1, *self.image_shape)
        x = self.out(nn.relu(self.norm2(x, train=train, mask=mask)))
        return SquaredError(nn.sigmoid(x))


@pytest.fixture(autouse=True, scope="module")
def tiny():
    """The small model in the table of models, and float64, in which nearly all of this runs."""
    spec = dataclasses.replace(vae_jax.MODELS["face_vae"], name="tiny", module=TinyVAE)
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setitem(vae_jax.MODELS, "tiny", spec)
        yield


def loss_of(**changes):
    recipe = vae_jax.MODELS["tiny"].recipe.replace(**{"beta": BETA, **changes})
    return vae_jax.make_loss("tiny", recipe=recipe)


@functools.cache
def compiled(**changes):
    """The loss and its gradient under a recipe, compiled once for the module."""
    return jax.jit(jax.value_and_grad(loss_of(**changes), has_aux=True))


def start(dtype=np.float64, batch=3):
    """Random parameters and statistics, a batch, and noise."""
    model, rng = vae_jax.create_model("tiny"), np.random.default_rng(0)
    variables: dict = {"params": {}, "batch_stats": {}}
    for (kind, layer, leaf), shape in variable_shapes(model).items():
        value = rng.uniform(-0.5, 0.5, shape).astype(dtype)
        value = np.int32(0) if leaf == "num_batches_tracked" else value
        variables[kind].setdefault(layer, {})[leaf] = value
    image = rng.uniform(size=(batch, *model.image_shape)).astype(dtype)
    noise = rng.normal(size=(batch, model.latent_size)).astype(dtype)
    return variables["params"], variables["batch_stats"], {"image": image}, noise


def pad(array, rows, value):
    return np.concatenate([array, np.full((rows, *array.shape[1:]), value, array.dtype)])


def padded(batch, noise, rows=2):
    mask = (np.arange(len(noise) + rows) < len(noise)).astype(noise.dtype)
    return {"image": pad(batch["image"], rows, GARBAGE), "mask": mask}, pad(noise, rows, 3)


def assert_trees_close(actual, expected, tolerance):
    """Leaf by leaf, relative to the largest value of the whole layer: the gradient of a bias in
    front of a batch norm is zero in exact arithmetic, its own size rounding noise."""
    for name, layer in expected.items():
        scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(layer))
        for a, b in zip(*map(jax.tree.leaves, (actual[name], layer)), strict=True):
            assert np.abs(np.asarray(a) - b).max() <= tolerance * max(scale, 1e-300), name


def test_the_terms_of_a_posterior_are_listing_7_6():
    rng = np.random.default_rng(0)
    x, decoded = rng.uniform(size=(2, 3, 4, 5, 2))
    mu, log_std = rng.normal(size=(2, 3, 6))
    terms = loss_terms(x, SquaredError(decoded), DiagonalGaussian(mu, log_std))
    std = np.exp(log_std)
    kl = (std**2 / 2 + mu**2 / 2 - np.log(std) - 1 / 2).sum(1)
    np.testing.assert_allclose(terms["kl_divergence"], kl, rtol=1e-13)
    np.testing.assert_allclose(terms["reconstruction"], ((x - decoded) ** 2).sum((1, 2, 3)))
    bound = elbo(x, SquaredError(decoded), DiagonalGaussian(mu, log_std), beta=0.3)
    np.testing.assert_allclose(bound, -terms["reconstruction"] - 0.3 * kl, rtol=1e-13)
    assert loss_terms(x, SquaredError(decoded), Deterministic(mu)).keys() == {"reconstruction"}


def test_padding_changes_nothing_and_forgetting_the_mask_would_be_seen():
    params, stats, batch, noise = start()
    before, run = jax.tree.map(np.array, stats), compiled()
    longer, long_noise = padded(batch, noise)
    (loss, (metrics, new_stats)), gradients = run(params, stats, batch, noise)
    (loss2, (metrics2, new_stats2)), gradients2 = run(params, stats, longer, long_noise)
    assert abs(loss2 - loss) < 1e-12 * loss
    assert_trees_close(metrics2, metrics, 1e-12)
    assert_trees_close(new_stats2, new_stats, 1e-12)
    assert_trees_close(gradients2, gradients, 1e-12)

    wrong, (_, spoiled) = jax.jit(loss_of())(params, stats, {"image": longer["image"]}, long_noise)
    assert abs(float(wrong) - float(loss)) > 1e-2 * float(loss)
    assert np.abs(spoiled["norm"]["var"] - new_stats["norm"]["var"]).max() > 1e-4

    # The statistics moved, and the given ones stayed.
    jax.tree.map(np.testing.assert_array_equal, stats, before)
    assert jax.tree.structure(new_stats) == jax.tree.structure(stats)
    for name in ("norm", "norm2"):
        assert new_stats[name]["num_batches_tracked"] == 1
        assert np.abs(np.asarray(new_stats[name]["mean"]) - stats[name]["mean"]).max() > 0


def test_the_mean_is_the_sum_over_the_number_of_real_examples():
    params, stats, batch, noise = start()
    for inputs in ((batch, noise), padded(batch, noise)):
        (_, (summed, _)), _ = compiled()(params, stats, *inputs)
        _, (averaged, _) = jax.jit(loss_of(reduction="mean"))(params, stats, *inputs)
        assert summed.keys() == averaged.keys() == {"loss", "reconstruction", "kl_divergence"}
        for name in summed:
            np.testing.assert_allclose(averaged[name], summed[name] / 3, rtol=1e-13)


@pytest.mark.slow
def test_the_weight_rises_linearly_with_the_steps_taken_and_the_terms_stay_unweighted():
    _, (constant, _) = compiled()(*start())[0]
    for step in (0, 1, WARMUP // 2, WARMUP, WARMUP + 1, 10**6):
        weight = BETA * min(step / WARMUP, 1)
        (total, (metrics, _)), _ = compiled(**RISING)(*start(), step=jnp.int32(step))
        expected = metrics["reconstruction"] + weight * metrics["kl_divergence"]
        np.testing.assert_allclose(total, expected, rtol=1e-14)
        np.testing.assert_array_equal(total, metrics["loss"])
        for name in ("reconstruction", "kl_divergence"):
            np.testing.assert_allclose(metrics[name], constant[name], rtol=1e-14)
    assert metrics["kl_divergence"] > 0.1  # else no weight of it would be seen


@pytest.mark.slow
@pytest.mark.parametrize(("step", "constant"), [(0, {"beta": 0.0}), (WARMUP, {})])
def test_at_either_end_of_the_warm_up_the_gradient_is_that_of_a_constant_beta(step, constant):
    rising = compiled(**RISING)(*start(), step=jnp.int32(step))
    constant = compiled(**constant)(*start())
    np.testing.assert_allclose(rising[0][0], constant[0][0], rtol=1e-13)
    assert_trees_close(rising[1], constant[1], 1e-12)


def test_without_a_warm_up_the_step_is_not_needed_and_changes_nothing():
    again, _ = jax.jit(loss_of())(*start(), step=jnp.int32(1000))
    np.testing.assert_allclose(again, compiled()(*start())[0][0], rtol=1e-14)


@settings(deadline=None, max_examples=50)
@given(
    st.floats(0, 1e6, width=32, allow_subnormal=False),
    st.integers(1, 2**24),
    st.integers(0, 2**31 - 1),
)
def test_the_weight_is_within_0_and_beta_and_exactly_beta_from_the_warm_ups_end_on(
    beta, warmup, step
):
    recipe = vae_jax.MODELS["tiny"].recipe.replace(beta=beta, beta_warmup=warmup)
    weight = _beta(recipe, jnp.asarray(step, jnp.int32), jnp.float32)
    assert 0 <= weight <= beta
    if step == 0 or step >= warmup:
        assert weight == (beta if step else 0)
    else:
        np.testing.assert_allclose(weight, beta * (step / warmup), rtol=1e-6, atol=1e-30)


def test_the_loss_keeps_float32_where_float64_is_enabled():
    params, stats, batch, noise = start(np.float32)
    run = jax.value_and_grad(loss_of(**RISING), has_aux=True)
    (total, _), gradients = jax.eval_shape(run, params, stats, batch, noise, step=jnp.int32(3))
    assert total.dtype == np.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {np.dtype(np.float32)}


def test_a_model_without_a_divergence_has_nothing_to_warm_up():
    recipe = vae_jax.MODELS["digits_ae"].recipe.replace(beta_warmup=WARMUP)
    small = {"hidden_size": 3, "latent_size": 2}
    params: dict = {}
    for (_, layer, leaf), shape in variable_shapes(
        vae_jax.create_model("digits_ae", **small)
    ).items():
        params.setdefault(layer, {})[leaf] = np.full(shape, 0.1)
    loss = jax.jit(vae_jax.make_loss("digits_ae", recipe=recipe, **small))
    total, (metrics, stats) = loss(params, {}, {"image": np.ones((1, 28, 28, 1))}, None)
    np.testing.assert_array_equal(total, metrics["reconstruction"])
    assert stats == {}


def test_the_training_step_counts_for_the_loss_and_is_traced_once():
    traces, loss = [], loss_of(**RISING)

    def counted(*arguments, step):
        traces.append(step)
        return loss(*arguments, step=step)

    optimizer = optax.sgd(0.0)
    step = jax.jit(make_train_step(counted, optimizer, Inputs(latent_size=2)))
    params, stats, _, _ = start(np.float32)
    batch = {"image": np.random.default_rng(3).integers(0, 256, (4, 4, 6, 1), np.uint8)}
    weights = []
    with jax.enable_x64(False):  # the step draws float32 noise
        state = TrainState(jnp.zeros((), jnp.int32), params, stats, optimizer.init(params))
        for _ in range(WARMUP + 3):
            state, metrics = step(state, batch, jax.random.key(0))
            weights.append((metrics["loss"] - metrics["reconstruction"]) / metrics["kl_divergence"])
    assert int(state.step) == WARMUP + 3
    assert len(traces) == 1
    expected = [BETA * min(number / WARMUP, 1) for number in range(WARMUP + 3)]
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-5)


def test_what_is_missing_or_unknown_is_refused_and_said():
    params, stats, batch, noise = start()
    with pytest.raises(ValueError, match="beta rises over 8 steps; expected step= in the call"):
        jax.eval_shape(loss_of(**RISING), params, stats, batch, noise)
    with pytest.raises(ValueError, match="has running statistics"):
        jax.eval_shape(loss_of(), params, {}, batch, noise)
    with pytest.raises(UserError, match="there is no model 'vae'"):
        vae_jax.make_loss("vae")
    with pytest.raises(UserError, match="digits_ae has no hyperparameter 'width'"):
        vae_jax.make_loss("digits_ae", width=3)
