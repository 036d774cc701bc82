"""Adam's state is taken over from another framework, and given back, without a bit or step lost."""

import importlib.util
import warnings
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from adam_states import AE, SMALL, assert_same_state, made_up

import vae_jax
from vae_jax.convert.optimizer import export_adam, import_adam
from vae_jax.convert.training_files import read_adam
from vae_jax.errors import CheckpointError
from vae_jax.models import get_spec
from vae_jax.optim import make_optimizer
from vae_jax.optimizer_transfer import ImportedOptimizer

CONV = SMALL["conv_vae"]


@pytest.fixture(scope="module")
def script():
    """The script that the README's figures come from."""
    pytest.importorskip("torch")
    path = Path(__file__).parents[2] / "scripts" / "transfer_optimizer.py"
    spec = importlib.util.spec_from_file_location("transfer_optimizer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes_of(name):
    """The model's variables, and nothing computed."""
    model = vae_jax.create_model(name, **SMALL[name])
    return jax.eval_shape(lambda: vae_jax.models.init_variables(model, jax.random.key(0)))


def fresh(name, **fields):
    """The shape of a state of the model's optimiser."""
    return jax.eval_shape(make_optimizer(name, **fields).init, shapes_of(name)["params"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "digits_ae",
        pytest.param("conv_vae", marks=pytest.mark.slow),
        pytest.param("digits_vae", marks=pytest.mark.paddle),
        pytest.param("stddev_vae", marks=pytest.mark.tensorflow),
    ],
)
def test_training_continues_after_an_optimizer_transfer_as_if_it_had_never_switched(script, name):
    framework = get_spec(name).reference.framework
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = script.transfer(name, 3, **SMALL[name])
    assert list(found) == [f"{framework} to JAX", f"JAX to {framework}"]
    assert max(found.values()) < 1e-10, found


@pytest.mark.slow
def test_a_transfer_that_forgets_the_optimiser_would_be_seen(script, monkeypatch):
    def forget(trained, recipe, chosen):
        adam = read_adam(trained.name, trained.files, recipe, **trained.hyper)
        assert adam is not None
        state = import_adam(trained.name, adam._replace(step=1), fresh("digits_ae"), **AE)
        return ImportedOptimizer(state, recipe, 1, ())

    monkeypatch.setattr(script, "import_optimizer", forget)
    with jax.enable_x64(True):
        found = script.transfer("digits_ae", 3, **AE)
    assert found["PyTorch to JAX"] > 1e-6
    assert found["JAX to PyTorch"] < 1e-10


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, np.float32) for name in SMALL), ("conv_vae", np.float64)]
)
def test_a_state_comes_back_bit_for_bit(name, dtype):
    adam = made_up(name, dtype)
    state = import_adam(name, adam, fresh(name), **SMALL[name])
    assert_same_state(export_adam(name, state, **SMALL[name]), adam)


def test_a_decay_before_adam_is_no_obstacle():
    before = fresh("digits_ae", weight_decay=0.1)
    state = import_adam("digits_ae", made_up("digits_ae"), before, **AE)
    assert jax.tree.structure(state) == jax.tree.structure(before)
    assert_same_state(export_adam("digits_ae", state, **AE), made_up("digits_ae"))


def test_moments_lie_as_their_parameters_do():
    adam = made_up("conv_vae")
    state = import_adam("conv_vae", adam, fresh("conv_vae"), **CONV)[0]
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes_of("conv_vae"))
    weights = vae_jax.export_weights("conv_vae", variables, **CONV) | adam.exp_avg
    expected = vae_jax.import_weights("conv_vae", weights, **CONV)["params"]
    jax.tree.map(np.testing.assert_array_equal, state.mu, expected)


def test_half_precisions_are_widened_and_a_parameter_without_gradient_has_zeros():
    adam = made_up("digits_ae", np.float16)
    for tensors in (adam.exp_avg, adam.exp_avg_sq):
        del tensors["l1.bias"]
    state = import_adam("digits_ae", adam, fresh("digits_ae"), **AE)
    found = export_adam("digits_ae", state, **AE)
    assert {a.dtype for a in found.exp_avg.values()} == {np.dtype(np.float32)}
    assert not found.exp_avg["l1.bias"].any()
    assert not found.exp_avg_sq["l1.bias"].any()
    np.testing.assert_array_equal(found.exp_avg["l1.weight"], adam.exp_avg["l1.weight"])


def test_a_state_without_adam_cannot_be_exported():
    with pytest.raises(CheckpointError, match="holds 0 states of Adam: expected 1"):
        export_adam("digits_ae", optax.sgd(0.1).init({}), **AE)
