"""The pure step, and what compiling it must not change."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.data import iterate_batches
from vae_jax.data.pixels import scale_pixels
from vae_jax.distributions import example_noise
from vae_jax.models import create_model
from vae_jax.objectives import make_loss
from vae_jax.optim import make_optimizer
from vae_jax.training.devices import make_parallel
from vae_jax.training.state import TrainState, create_state, init_variables
from vae_jax.training.step import Inputs, make_train_step

from . import tiny

ALL_PIXELS = np.arange(256, dtype=np.uint8)
UNIT = (0.0, 1.0)
LATENTS = {"digits_ae": None, "tiny_vae": 2}
NO_OPTIMIZER = optax.GradientTransformation(
    lambda params: optax.EmptyState(), lambda updates, state, params=None: (updates, state)
)


@pytest.mark.torch
def test_pixels_are_scaled_to_the_same_bits_inside_the_compiled_step():
    import torch

    def loss(params, batch_stats, batch, noise, *, step):
        return params["w"] * batch["image"].sum(), ({"image": batch["image"]}, batch_stats)

    expected = torch.arange(256, dtype=torch.uint8).float().div(255).numpy()
    images = ALL_PIXELS.reshape(4, 8, 8, 1)
    step = make_parallel().compile_step(
        make_train_step(loss, NO_OPTIMIZER, Inputs(latent_size=None))
    )
    _, seen = step(toy_state(), {"image": images}, jax.random.key(0))
    assert np.asarray(seen["image"]).ravel().tobytes() == expected.tobytes()


def toy_state(step=0):
    return TrainState(jnp.asarray(step, jnp.int32), {"w": jnp.ones(())}, {}, optax.EmptyState())


def toy_step(batch_size=4, latent_size=3, **settings):
    """A step whose metrics are the noise that its loss was given."""

    def loss(params, batch_stats, batch, noise, *, step):
        return params["w"] * noise.sum(), ({"noise": noise}, batch_stats)

    step = jax.jit(make_train_step(loss, NO_OPTIMIZER, Inputs(latent_size, **settings)))
    batch = {"image": np.zeros((batch_size, 2, 2, 1), np.uint8)}
    return lambda number, key: np.asarray(step(toy_state(number), batch, key)[1]["noise"])


def test_noise_differs_between_steps_and_seeds_and_is_the_same_again():
    step = toy_step()
    runs = [step(number, jax.random.key(seed)) for seed in (0, 1) for number in (0, 1, 2)]
    assert len({noise.tobytes() for noise in runs}) == 6
    assert step(1, jax.random.key(0)).tobytes() == runs[1].tobytes()


def test_a_steps_noise_is_folded_from_the_runs_key_and_its_number():
    key = jax.random.key(5)
    expected = example_noise(jax.random.fold_in(key, 7), 4, 3)
    assert toy_step()(7, key).tobytes() == np.asarray(expected).tobytes()


def test_noise_is_scaled_as_the_recipe_says_and_0_leaves_none():
    key, full = jax.random.key(5), toy_step()(7, jax.random.key(5))
    np.testing.assert_array_equal(toy_step(noise_scale=0.5)(7, key), full * 0.5)
    np.testing.assert_array_equal(toy_step(noise_scale=0)(7, key), np.zeros_like(full))


def test_padding_a_batch_does_not_change_the_noise_of_its_examples():
    key = jax.random.key(5)
    np.testing.assert_array_max_ulp(toy_step(4)(2, key), toy_step(9)(2, key)[:4], maxulp=4)


@functools.cache
def initial(model):
    hyper = tiny.HYPER if model == "digits_ae" else {}
    variables = init_variables(create_model(model, **hyper), jax.random.key(4))
    return jax.tree.map(np.asarray, variables)


def real_step(model="tiny_vae"):
    hyper = tiny.HYPER if model == "digits_ae" else {}
    loss, optimizer = make_loss(model, recipe=None, **hyper), make_optimizer(model)
    step = make_train_step(loss, optimizer, Inputs(LATENTS[model]))
    network = create_model(model, **hyper)
    return (
        step,
        create_state(network, optimizer, jax.random.key(0), initial(model)),
        loss,
        optimizer,
    )


def batches_of(num_examples=22, epoch=1):
    batches = list(iterate_batches(tiny.images_of(num_examples), batch_size=8, seed=0, epoch=epoch))
    return [{k: jnp.asarray(v) for k, v in batch.items() if k != "label"} for batch in batches]


BOTH = pytest.mark.parametrize("model", ["tiny_vae", tiny.slow("digits_ae")])


def composed(loss, optimizer, latent_size):
    """The step as a reader of the tutorial would write it."""

    def step(state, batch, key):
        noise = None
        if latent_size is not None:
            keys = jax.random.split(jax.random.fold_in(key, state.step), len(batch["image"]))
            noise = jnp.stack([jax.random.normal(key, (latent_size,)) for key in keys])
        image = scale_pixels(batch["image"], UNIT)
        (_, (metrics, batch_stats)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params, state.batch_stats, {**batch, "image": image}, noise
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return step


@BOTH
def test_a_step_is_the_composition_of_loss_and_optimizer(model):
    """In float64: in float32 XLA may join either program's loops in its own way, and round so."""
    hyper = tiny.HYPER if model == "digits_ae" else {}
    with jax.enable_x64(True):
        loss, optimizer = tiny.in_float64(make_loss(model, **hyper)), make_optimizer(model)
        step = jax.jit(make_train_step(loss, optimizer, Inputs(LATENTS[model])))
        plain = jax.jit(composed(loss, optimizer, LATENTS[model]))
        variables = jax.tree.map(lambda leaf: leaf.astype(np.float64), initial(model))
        key = jax.random.key(9)
        found = expected = create_state(create_model(model, **hyper), optimizer, key, variables)
        for batch in batches_of():
            found, metrics = step(found, batch, key)
            expected, plain_metrics = plain(expected, batch, key)
            assert metrics.pop("finite")
            assert metrics.pop("going")
            assert metrics.pop("gradient_norm") > 0
            assert_near(metrics, plain_metrics)
        assert_near(found, expected)
        assert int(found.step) == 3


def assert_near(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert one.dtype in (np.float64, np.int32)
        assert np.abs(one - other).max() <= 1e-12 * np.abs(other).max()


@pytest.mark.slow
def test_the_compiled_step_computes_what_the_composition_does_without_jit():
    step, state, loss, optimizer = real_step("digits_ae")
    batch, key = batches_of()[-1], jax.random.key(9)
    expected, metrics = composed(loss, optimizer, None)(state, batch, key)
    found, found_metrics = make_parallel().compile_step(step)(state, batch, key)
    assert (
        found_metrics.keys() - {"finite", "going", "gradient_norm"}
        == metrics.keys()
        == {"loss", "reconstruction"}
    )
    for name, value in metrics.items():
        np.testing.assert_allclose(found_metrics[name], value, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
    )


@BOTH
def test_an_epoch_and_the_next_trace_the_step_once_and_reuse_the_states_memory(model):
    step, state, *_ = real_step(model)
    traces = []

    def counted(*args):
        traces.append(1)
        return step(*args)

    run, key = make_parallel().compile_step(counted), jax.random.key(0)
    for epoch in (1, 2):
        for batch in batches_of(epoch=epoch):  # the last one is padded
            old = state
            state, _ = run(state, batch, key)
            assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))
            assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((state, batch, key)))
    assert int(state.step) == 6
    assert len(traces) == 1


@pytest.mark.slow
def test_the_pure_step_takes_numpy_batches_and_leaves_its_arguments_alone():
    def loss(params, batch_stats, batch, noise, *, step):
        return params["w"] * batch["image"].sum(), ({}, batch_stats)

    optimizer = optax.sgd(0.5)
    step = make_train_step(loss, optimizer, Inputs(None))
    params = {"w": jnp.ones(())}
    state = TrainState(jnp.asarray(0, jnp.int32), params, {}, optimizer.init(params))
    batch = {"image": np.full((4, 2, 2, 1), 255, np.uint8)}
    before = tiny.bits((state, batch))
    new, _ = step(state, batch, jax.random.key(0))
    assert int(new.step) == 1
    assert float(new.params["w"]) == 1 - 0.5 * 16
    assert tiny.bits((state, batch)) == before


def test_the_padding_of_a_batch_counts_nowhere():
    step, state, *_ = real_step()
    *_, last = batches_of()
    padding = (last["mask"] == 0).reshape(-1, 1, 1, 1)
    other = {**last, "image": jnp.where(padding, jnp.uint8(255), last["image"])}
    assert (other["image"] != last["image"]).any()
    step = jax.jit(step)
    results = [step(state, batch, jax.random.key(0)) for batch in (last, other)]
    assert tiny.bits(results[0]) == tiny.bits(results[1])


@pytest.mark.slow
def test_a_state_made_from_variables_holds_copies_of_them():
    step, state, *_ = real_step("digits_ae")
    variables, before = initial("digits_ae"), tiny.bits(initial("digits_ae"))
    assert tiny.bits(state.variables) == before
    assert int(state.step) == 0
    make_parallel().compile_step(step)(state, batches_of()[0], jax.random.key(0))
    assert tiny.bits(variables) == before
