"""The references' Adam: PyTorch's step for step, and accurate where Optax's own is not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax
from vae_jax.errors import UserError
from vae_jax.optim import optimizer_of, scale_by_adam
from vae_jax.recipe import Recipe

RECIPE = Recipe(data="digits", epochs=1, batch_size=1, learning_rate=1e-2)
SHAPES = {"kernel": (3, 4), "bias": (4,), "scale": ()}


def random_tree(rng, dtype):
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def run_port(optimizer, params, gradients):
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for gradient in gradients:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return jax.tree.map(np.asarray, params)


def run_torch(recipe, params, gradients, kind="Adam"):
    torch = pytest.importorskip("torch")
    leaves = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in params.items()}
    optimizer = getattr(torch.optim, kind)(
        leaves.values(),
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
    )
    for gradient in gradients:
        for name, leaf in leaves.items():
            leaf.grad = torch.tensor(gradient[name])
        optimizer.step()
    return {name: leaf.detach().numpy() for name, leaf in leaves.items()}


def problem(dtype, steps=50):
    """Parameters and gradients over many orders of magnitude, some exactly zero."""
    rng = np.random.default_rng(0)
    gradients = [random_tree(rng, dtype) for _ in range(steps)]
    for step, gradient in enumerate(gradients):
        gradient["bias"] *= dtype(10.0 ** -(step % 8))
        gradient["kernel"][0] = 0
    return random_tree(rng, dtype), gradients


def error(actual, expected):
    return max(
        np.abs(actual[n] - np.asarray(expected[n], np.float64)).max() / np.abs(expected[n]).max()
        for n in SHAPES
    )


@pytest.mark.torch
@pytest.mark.parametrize(
    "changes",
    [{}, {"weight_decay": 0.1}, {"beta1": 0.0}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3}],
    ids=["default", "weight_decay", "beta1=0", "other betas"],
)
def test_fifty_steps_are_pytorchs(changes):
    recipe = RECIPE.replace(**changes)
    with jax.enable_x64(True):
        params, gradients = problem(np.float64)
        exact = run_port(optimizer_of(recipe), params, gradients)
    assert error(exact, run_torch(recipe, params, gradients)) < 1e-13
    if changes:  # whose effect would be seen
        assert error(exact, run_torch(RECIPE, params, gradients)) > 1e-3
    if recipe.weight_decay:  # it joins the gradient, which AdamW's does not
        assert error(exact, run_torch(recipe, params, gradients, "AdamW")) > 1e-3


@pytest.mark.torch
def test_fifty_steps_in_float32_are_pytorchs():
    params, gradients = problem(np.float32)
    single = run_port(optimizer_of(RECIPE), params, gradients)
    assert all(leaf.dtype == np.float32 for leaf in single.values())
    assert error(single, run_torch(RECIPE, params, gradients)) < 2e-6


def test_the_first_update_in_float32_keeps_the_digits_that_optax_loses():
    rng = np.random.default_rng(0)
    gradient = random_tree(rng, np.float32)
    truth = {  # the moments over their corrections are the gradient and its square
        name: value.astype(np.float64) / (np.abs(value.astype(np.float64)) + RECIPE.epsilon)
        for name, value in gradient.items()
    }

    def first_update(transformation):
        return transformation.update(gradient, transformation.init(gradient))[0]

    ours = error(first_update(scale_by_adam(0.9, 0.999, RECIPE.epsilon)), truth)
    with jax.numpy_dtype_promotion("standard"):  # Optax raises a float to an integer power
        optax_own = error(first_update(optax.scale_by_adam(0.9, 0.999, RECIPE.epsilon)), truth)
    assert ours < 1e-6
    assert optax_own > 3e-6


@pytest.mark.parametrize("step", [1, 2, 1_000, 2**31 - 1])
def test_an_update_after_any_number_of_steps_is_adams_formula(step):
    rng = np.random.default_rng(step)
    g, m, v = (random_tree(rng, np.float32) for _ in range(3))
    v = jax.tree.map(np.square, v)
    state = optax.ScaleByAdamState(jnp.asarray(step - 1, jnp.int32), m, v)
    update, new = scale_by_adam(0.9, 0.999, 1e-8).update(g, state)
    assert new.count == step
    for name in SHAPES:
        g64, m64, v64 = (np.float64(tree[name]) for tree in (g, m, v))
        first = (0.9 * m64 + 0.1 * g64) / (1 - 0.9**step)
        second = (0.999 * v64 + 0.001 * g64**2) / (1 - 0.999**step)
        expected = first / (np.sqrt(second) + 1e-8)
        np.testing.assert_allclose(update[name], expected, rtol=2e-6, atol=1e-6)


def test_the_counter_stops_at_its_largest_value_instead_of_turning_negative():
    full = jnp.asarray(2**31 - 1, jnp.int32)
    one = {"w": jnp.ones(2)}
    update, new = scale_by_adam(0.9, 0.999, 1e-8).update(
        one, optax.ScaleByAdamState(full, one, one)
    )
    assert new.count == full
    np.testing.assert_allclose(update["w"], [1, 1], rtol=1e-6)


def test_gradients_that_are_zero_from_the_start_move_nothing():
    params = {"w": jnp.ones(3)}
    moved = run_port(optimizer_of(RECIPE), params, [{"w": np.zeros(3, np.float32)}] * 3)
    np.testing.assert_array_equal(moved["w"], [1, 1, 1])


def program_of(optimizer):
    """What an update computes, every number of the recipe in it."""
    params, (gradient,) = problem(np.float32, steps=1)
    return str(jax.make_jaxpr(optimizer.update)(gradient, optimizer.init(params), params))


@pytest.mark.parametrize("name", list(vae_jax.MODELS))
def test_make_optimizer_follows_the_recipe_and_its_overrides(name):
    recipe = vae_jax.MODELS[name].recipe
    own = program_of(vae_jax.make_optimizer(name))
    assert own == program_of(optimizer_of(recipe))
    overrides = {"learning_rate": 0.5, "beta1": 0.3, "weight_decay": 0.2}
    other = program_of(vae_jax.make_optimizer(name, **overrides))
    assert other == program_of(optimizer_of(recipe.replace(**overrides))) != own
    assert vae_jax.MODELS[name].recipe == recipe


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("digits_ae", {"lr": 1e-3}, "a recipe has no field 'lr'"),
        ("digits_ae", {"learning_rate": -1.0}, "learning_rate is -1.0; expected above 0"),
        ("digits_cnn", {}, "there is no model 'digits_cnn'; did you mean digits_"),
    ],
)
def test_what_a_recipe_does_not_know_is_refused(name, overrides, message):
    with pytest.raises(UserError, match=message):
        vae_jax.make_optimizer(name, **overrides)


@pytest.mark.parametrize("weight_decay", [0.0, 1e-5])
def test_the_state_holds_optaxs_own_moments_in_memory_of_their_own(weight_decay):
    params = {"w": jnp.ones(3)}
    state = optimizer_of(RECIPE.replace(weight_decay=weight_decay)).init(params)

    def is_adam(node):
        return isinstance(node, optax.ScaleByAdamState)

    (adam,) = filter(is_adam, jax.tree.leaves(state, is_leaf=is_adam))
    assert adam.count.dtype == jnp.int32
    pointers = {tree["w"].unsafe_buffer_pointer() for tree in (params, adam.mu, adam.nu)}
    assert len(pointers) == 3  # a donated state must not hold one buffer twice
    np.testing.assert_array_equal(adam.mu["w"], np.zeros(3))
