"""How a step, a state and a batch lie on devices."""

import re
from typing import Any

import jax
import numpy as np
import optax
import pytest

from vae_jax.data import iterate_batches
from vae_jax.errors import UserError
from vae_jax.models import create_model, init_variables
from vae_jax.objectives import make_loss
from vae_jax.training.devices import make_parallel
from vae_jax.training.state import create_state
from vae_jax.training.step import Inputs, make_train_step

from . import tiny
from .ways import ON_SEVERAL


@pytest.mark.parametrize("way", [ON_SEVERAL[0], *map(tiny.slow, ON_SEVERAL[1:])], ids=str)
def test_the_gradient_is_that_of_the_whole_batch(way):
    """Plain gradient descent shows a factor that Adam would hide; in float64 little is rounding."""
    model = create_model("tiny_vae")
    (batch,) = iterate_batches(
        tiny.images_of(6), batch_size=6, seed=0, epoch=0, width=make_parallel(*way).width(6)
    )
    del batch["label"]
    gradients = []
    with jax.enable_x64(True):
        variables = init_variables(model, jax.random.key(0))
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        for parallel in (make_parallel(), make_parallel(*way)):
            state = create_state(model, optax.sgd(1.0), jax.random.key(0), variables)
            before = jax.tree.map(np.asarray, state.params)
            axis_name = parallel.axis_name
            loss = tiny.in_float64(make_loss("tiny_vae", axis_name=axis_name))
            inputs = Inputs(latent_size=2, axis_name=axis_name)
            step = make_train_step(loss, optax.sgd(1.0), inputs)
            state, metrics = parallel.compile_step(step)(
                parallel.put_state(state), parallel.put_batch(batch), jax.random.key(1), np.True_
            )
            state = parallel.on_one(state)
            gradient = jax.tree.map(lambda a, b: a - b, before, state.params)
            gradients.append([gradient, state.batch_stats, metrics])
    for one, other in zip(*map(jax.tree.leaves, gradients), strict=True):
        one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
        assert np.abs(one - other).max() <= 1e-13 * np.abs(other).max()


def test_large_parameters_and_their_moments_are_divided_along_the_model_axis(monkeypatch):
    monkeypatch.setattr("vae_jax.training.parallel.SHARDED_SIZE", 100)
    parallel = make_parallel("sharded", 8, 4)
    state = parallel.put_state({"kernel": np.zeros((30, 16)), "bias": np.zeros(16)})
    assert state["kernel"].addressable_data(0).shape == (30, 4)
    assert state["bias"].addressable_data(0).shape == (16,)


def test_padding_is_up_to_what_the_devices_can_share():
    assert make_parallel("sharded", 8).width(100) == 104
    assert make_parallel("sharded", 8, 2).width(100) == 100
    assert make_parallel().width(100) == 100
    assert make_parallel().width(22, groups=4) == 24


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sharded", 9, 1), "--devices 9, but there are 8"),
        (("jit", 2, 1), "one device"),
        (("sharded", 8, 3), "--model-axis 3"),
        (("pmap", 8, 2), "--parallel sharded"),
    ],
)
def test_devices_that_cannot_be_had_are_an_error_of_one_line(arguments, says):
    with pytest.raises(UserError) as caught:
        make_parallel(*arguments)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_groups_that_devices_would_have_to_cut_are_refused():
    with pytest.raises(UserError, match="a multiple of 4"):
        make_parallel("pmap", 4).width(64, groups=2)


def test_noise_does_not_depend_on_the_padding_of_a_batch():
    key = jax.random.key(3)
    few, many = (jax.random.split(key, count) for count in (5, 8))
    assert (jax.random.key_data(few) == jax.random.key_data(many)[:5]).all()


@pytest.mark.slow
def test_a_mesh_sums_gradients_and_gathers_nothing():
    """The windows of convolutions above all, which are many times an image."""
    hyper = {"image_shape": (12, 12, 1), "widths": (4,), "latent_size": 2}
    model, optimizer = create_model("conv_vae", **hyper), optax.sgd(1.0)
    parallel = make_parallel("sharded", 4)
    state = parallel.put_state(create_state(model, optimizer, jax.random.key(0)))
    step = make_train_step(make_loss("conv_vae", **hyper), optimizer, Inputs(latent_size=2))
    batch = parallel.put_batch({"image": np.zeros((8, 12, 12, 1), np.uint8)})
    compiled: Any = parallel.compile_step(step)
    program = compiled.lower(state, batch, jax.random.key(1), np.True_)
    text = program.compile().as_text()
    kinds = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"
    assert set(re.findall(rf" ({kinds})(?:-start)?\(", text)) == {"all-reduce"}
