"""The KL's weight rises from 0 to beta, step by step, and stays there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vae_jax
from vae_jax.models import variable_shapes
from vae_jax.objectives import _beta
from vae_jax.training.state import TrainState
from vae_jax.training.step import make_train_step

SMALL = {"hidden_size": 3, "latent_size": 2}
CONV = {"image_shape": (3, 4, 1), "widths": (2,), "latent_size": 2}
BETA, WARMUP = 2.5, 8
RECIPE = vae_jax.MODELS["conv_vae"].recipe
RISING = RECIPE.replace(beta=BETA, beta_warmup=WARMUP)


@functools.cache
def start(dtype=np.float32):
    rng = np.random.default_rng(0)
    flat = variable_shapes(vae_jax.create_model("conv_vae", **CONV))
    params: dict = {}
    for path, shape in flat.items():
        leaf = rng.uniform(-1.5, 1.5, shape).astype(dtype)
        params.setdefault(path[1], {})[path[2]] = leaf
    image, noise = rng.uniform(size=(4, 3, 4, 1)), rng.normal(size=(4, 2))
    return params, {"image": image.astype(dtype)}, noise.astype(dtype)


@functools.cache
def compiled(recipe):
    loss = vae_jax.make_loss("conv_vae", recipe=recipe, **CONV)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def loss_at(recipe, step=None, dtype=np.float32):
    """The loss, its terms and the gradients."""
    params, batch, noise = start(dtype)
    more = {} if step is None else {"step": jnp.asarray(step, jnp.int32)}
    (total, (metrics, _)), gradients = compiled(recipe)(params, {}, batch, noise, **more)
    return total, metrics, gradients


@pytest.mark.parametrize(
    ("step", "weight"),
    [(0, 0.0), (1, BETA / 8), (WARMUP // 2, BETA / 2), (WARMUP, BETA), (WARMUP + 1, BETA)],
)
def test_the_weight_rises_linearly_with_the_steps_taken(step, weight):
    total, metrics, _ = loss_at(RISING, step)
    expected = metrics["reconstruction"] + weight * metrics["kl_divergence"]
    np.testing.assert_allclose(total, expected, rtol=1e-6)
    np.testing.assert_array_equal(metrics["loss"], total)
    assert metrics["kl_divergence"] > 0.1  # else no weight of it would be seen


def test_the_terms_are_reported_unweighted_at_every_step():
    terms = [loss_at(RISING, step)[1] for step in (0, 3, WARMUP, 10**6)]
    for name in ("reconstruction", "kl_divergence"):
        np.testing.assert_array_equal([t[name] for t in terms], [terms[0][name]] * 4)


@settings(deadline=None)
@given(
    st.floats(0, 1e6, width=32, allow_subnormal=False),
    st.integers(1, 2**24),
    st.integers(0, 2**31 - 1),
)
def test_the_weight_is_within_0_and_beta_and_exactly_beta_from_the_warm_ups_end_on(
    beta, warmup, step
):
    recipe = RECIPE.replace(beta=beta, beta_warmup=warmup)
    weight = _beta(recipe, jnp.asarray(step, jnp.int32), jnp.float32)
    assert 0 <= weight <= beta
    if step == 0 or step >= warmup:
        assert weight == (beta if step else 0)
    else:
        np.testing.assert_allclose(weight, beta * (step / warmup), rtol=1e-6, atol=1e-30)


def test_from_the_warm_ups_end_on_the_loss_is_that_of_a_constant_beta():
    rising, constant = loss_at(RISING, WARMUP), loss_at(RECIPE.replace(beta=BETA))
    np.testing.assert_allclose(rising[0], constant[0], rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), rising[2], constant[2]
    )


def test_the_first_step_follows_the_reconstruction_alone():
    total, metrics, gradients = loss_at(RISING, 0)
    np.testing.assert_array_equal(total, metrics["reconstruction"])
    _, _, alone = loss_at(RECIPE.replace(beta=0.0))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), gradients, alone
    )


def test_a_missing_step_is_refused_and_said():
    params, batch, noise = start()
    loss = vae_jax.make_loss("conv_vae", recipe=RISING, **CONV)
    with pytest.raises(ValueError, match="beta rises over 8 steps; expected step= in the call"):
        loss(params, {}, batch, noise)


def test_without_a_warm_up_the_step_is_not_needed_and_changes_nothing():
    constant = RECIPE.replace(beta=BETA)
    expected = loss_at(constant)
    for step in (0, 1, 1000):
        found = loss_at(constant, step)
        np.testing.assert_array_equal(found[0], expected[0])


def test_the_loss_keeps_float64():
    with jax.enable_x64(True):
        total, metrics, gradients = loss_at(RISING, 3, np.float64)
        expected = metrics["reconstruction"] + BETA * 3 / 8 * metrics["kl_divergence"]
        assert total.dtype == np.float64
        np.testing.assert_allclose(total, expected, rtol=1e-14)
        assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {np.dtype(np.float64)}


def test_the_loss_keeps_float32_where_float64_is_enabled():
    with jax.enable_x64(True):
        total, _, gradients = loss_at(RISING, 3)
        assert total.dtype == np.float32
        assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {np.dtype(np.float32)}


def test_a_model_without_a_divergence_has_nothing_to_warm_up():
    recipe = vae_jax.MODELS["digits_ae"].recipe.replace(beta_warmup=WARMUP)
    model = vae_jax.create_model("digits_ae", **SMALL)
    params: dict = {}
    for (_, layer, leaf), shape in variable_shapes(model).items():
        params.setdefault(layer, {})[leaf] = np.full(shape, 0.1, np.float32)
    loss = vae_jax.make_loss("digits_ae", recipe=recipe, **SMALL)
    total, (metrics, _) = loss(params, {}, {"image": np.ones((1, 28, 28, 1), np.float32)}, None)
    np.testing.assert_array_equal(total, metrics["reconstruction"])


def test_the_training_step_counts_for_the_loss_and_is_traced_once():
    traces, loss = [], vae_jax.make_loss("conv_vae", recipe=RISING, **CONV)

    def counted(*arguments, step):
        traces.append(step)
        return loss(*arguments, step=step)

    optimizer = optax.sgd(0.0)
    step = jax.jit(make_train_step(counted, optimizer, latent_size=2))
    params, _, _ = start()
    batch = {"image": np.random.default_rng(3).integers(0, 256, (4, 3, 4, 1), np.uint8)}
    state = TrainState(jnp.zeros((), jnp.int32), params, {}, optimizer.init(params))
    weights = []
    for _ in range(WARMUP + 3):
        state, metrics = step(state, batch, jax.random.key(0))
        weights.append((metrics["loss"] - metrics["reconstruction"]) / metrics["kl_divergence"])
    assert int(state.step) == WARMUP + 3
    assert len(traces) == 1
    expected = [BETA * min(number / WARMUP, 1) for number in range(WARMUP + 3)]
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-5)
