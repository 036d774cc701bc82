"""The known faults of ports, put in one at a time: each is found where it is."""

import contextlib

import flax.linen as nn
import jax
import optax
import pytest

from vae_jax import objectives
from vae_jax.layers import batch_norm, conv
from vae_jax.models import MODELS, conv_vae, face_vae
from vae_jax.optim import optimizer_of
from vae_jax.parity import port
from vae_jax.parity.check import check_model
from vae_jax.parity.faults import FAULTS, Fault
from vae_jax.parity.injection import Injection

SMALL = [name for name in MODELS if name != "face_vae"]
BY_NAME = {fault.name: fault for fault in FAULTS}
PATCHED = {
    nn: ["leaky_relu"],
    objectives: ["_join"],
    batch_norm: ["_moments"],
    conv: ["conv2d", "conv2d_transpose"],
    conv_vae: ["BatchNorm"],
    face_vae: ["BatchNorm"],
    port: ["optimizer_of"],
}
PAIRS = [(name, fault.name) for name in SMALL for fault in FAULTS if name in fault.where]


@pytest.fixture(scope="module")
def injections():
    """From a model to what its original computed, once."""
    made: dict[str, Injection] = {}

    def get(name):
        if name not in made:
            made[name] = Injection(name)
        return made[name]

    return get


@pytest.mark.parametrize("name", SMALL)
def test_a_port_without_a_fault_diverges_nowhere(injections, name):
    assert injections(name).first_divergence(None) is None


@pytest.mark.parametrize(("name", "fault"), PAIRS)
def test_a_fault_is_found_where_it_is(injections, name, fault):
    injection = injections(name)
    found = injection.first_divergence(BY_NAME[fault])
    assert injection.is_right(BY_NAME[fault], found), found


def test_a_fault_of_the_large_port_alone_is_found_where_it_is():
    fault = BY_NAME["AdamW for L2"]
    stage, place = fault.where["face_vae"]
    with fault.inject("face_vae"):
        report = check_model("face_vae", steps=0, batch_size=2, stop_early=True)
    first = report.first_divergence
    assert first is not None
    assert (first.stage, report.place(first)) == (stage, place)


def test_a_fault_is_undone_afterwards(injections):
    injection = injections("digits_ae")
    for fault in FAULTS:
        if "digits_ae" in fault.where:
            assert injection.first_divergence(fault) is not None
            assert injection.first_divergence(None) is None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_patch_is_undone_even_when_the_comparison_fails(fault):
    def patched():
        found = [getattr(module, name) for module, names in PATCHED.items() for name in names]
        return [*found, *MODELS.values()]

    before = patched()
    for name in fault.where:
        with contextlib.suppress(ZeroDivisionError), fault.inject(name):
            raise ZeroDivisionError
    assert all(a is b for a, b in zip(before, patched(), strict=True))


def test_a_slightly_wrong_learning_rate_is_the_optimisers(injections, monkeypatch):
    def faster(recipe):
        return optimizer_of(recipe.replace(learning_rate=recipe.learning_rate * 1.0001))

    monkeypatch.setattr("vae_jax.parity.port.optimizer_of", faster)
    assert injections("digits_ae").first_divergence(None) == ("optimiser", "update 1")


def test_every_fault_can_happen_to_a_model_and_every_model_has_one():
    assert all(fault.where for fault in FAULTS)
    assert {name for fault in FAULTS for name in fault.where} == MODELS.keys()
    assert len(BY_NAME) == len(FAULTS)


def test_a_fault_found_elsewhere_is_not_right(injections):
    injection = injections("digits_ae")
    fault = Fault("a", lambda model: contextlib.nullcontext(), {"digits_ae": ("loss", "loss")})
    assert injection.is_right(fault, ("loss terms", "loss"))
    assert not injection.is_right(fault, ("gradients", "loss"))
    assert not injection.is_right(fault, ("loss terms", "reconstruction"))
    assert not injection.is_right(fault, None)


def test_optaxs_own_bias_correction_in_float32_is_found(monkeypatch):
    # 1 - beta2**t cancels in float32: an update 7e-6 from the truth, where PyTorch's is 3e-8.
    def plain(recipe):
        return optax.adam(recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)

    monkeypatch.setattr(port, "optimizer_of", plain)
    with jax.numpy_dtype_promotion("standard"):
        report = check_model("digits_ae", precision="float32", steps=0, stop_early=True)
    first = report.first_divergence
    assert first is not None
    assert (first.stage, first.tensor) == ("optimiser", "update 1")
    assert first.k > 10
