"""Each known fault of ports, put in one at a time, must break the budget of the right stage."""

import dataclasses
import functools

import jax
import numpy as np
import optax
import pytest

import vae_jax.layers.batch_norm
import vae_jax.layers.conv
from vae_jax import objectives, optim
from vae_jax.layers import BatchNorm
from vae_jax.models import MODELS, face_vae
from vae_jax.parity import port as port_module
from vae_jax.parity.check import budgets_of, check_gradients, check_model, check_training
from vae_jax.parity.port import Port
from vae_jax.parity.probes import make_probe
from vae_jax.parity.pytorch import TorchReference

FACE = "face_vae"
NOISE_FED = MODELS[FACE].reference.noise_fed(MODELS[FACE].module())
PROBE = make_probe((256, 256, 3), 100, 2, seed=3)


@pytest.fixture(scope="module")
def start():
    return TorchReference(FACE, np.float32).state_dict()


@pytest.fixture(scope="module")
def reference(start):
    """In float32, whose faults these are, but with the gradients of float64, the truth."""
    single = TorchReference(FACE, np.float32, start)
    outputs = single.forward(*PROBE)
    gradients = TorchReference(FACE, np.float64, start).backward(*PROBE)
    single.forward = lambda *_: outputs
    single.backward = lambda *_: gradients
    return single


def broken_stages(start, recorded=None) -> dict[str, str]:
    """The stages that break, in order, each with its first tensor over the budget.

    With recorded outputs and gradients those are compared, else a training step.
    """
    budgets = dataclasses.replace(budgets_of(FACE, "float32"), trained=1e-4)
    port = Port(FACE, np.float32, start)
    if recorded is not None:
        rows = check_gradients(NOISE_FED, recorded, recorded, port, PROBE, budgets)
    else:
        rows = check_training(
            NOISE_FED, TorchReference(FACE, np.float32, start), port, [PROBE], budgets
        )
    stages: dict[str, str] = {}
    for row in rows:
        if not row.passed:
            stages.setdefault(row.stage, row.tensor)
    return stages


def change_rules(monkeypatch, change):
    spec = MODELS[FACE]
    rules = tuple(change(rule) for rule in spec.rules(spec.module()))
    monkeypatch.setitem(MODELS, FACE, dataclasses.replace(spec, rules=lambda model: rules))


def test_the_port_itself_breaks_nothing(start, reference):
    assert broken_stages(start, reference) == {}


def test_swapped_heads_break_the_first_head(monkeypatch, start, reference):
    def swap(rule):
        names = {"linear2": "linear3", "linear3": "linear2"}
        return dataclasses.replace(rule, target=tuple(names.get(p, p) for p in rule.target))

    change_rules(monkeypatch, swap)
    assert next(iter(broken_stages(start, reference).items())) == ("forward", "mean")


def test_a_naive_flatten_breaks_the_posterior(monkeypatch, start, reference):
    change_rules(
        monkeypatch,
        lambda r: dataclasses.replace(r, unflatten=None) if "linear1" in r.source else r,
    )
    assert next(iter(broken_stages(start, reference).items())) == ("forward", "mean")


def test_a_naive_unflatten_of_the_bias_alone_breaks_the_image_alone(monkeypatch, start, reference):
    change_rules(
        monkeypatch,
        lambda r: dataclasses.replace(r, unflatten=None) if r.source.endswith("lin.2.bias") else r,
    )
    assert next(iter(broken_stages(start, reference).items())) == ("forward", "image")


def test_a_kernel_that_is_not_flipped_breaks_the_image(monkeypatch, start, reference):
    right = vae_jax.layers.conv.conv2d_transpose
    monkeypatch.setattr(
        vae_jax.layers.conv,
        "conv2d_transpose",
        lambda x, kernel, *sizes: right(x, kernel[::-1, ::-1], *sizes),
    )
    assert next(iter(broken_stages(start, reference).items())) == ("forward", "image")


def test_output_padding_on_the_wrong_side_breaks_the_image(monkeypatch, start, reference):
    def shifted(x, kernel, stride, padding, output_padding):
        pads = [(2 - padding + output_padding, 2 - padding)] * 2
        return jax.lax.conv_transpose(
            x,
            kernel,
            (stride, stride),
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            transpose_kernel=True,
        )

    monkeypatch.setattr(vae_jax.layers.conv, "conv2d_transpose", shifted)
    assert next(iter(broken_stages(start, reference).items())) == ("forward", "image")


def test_a_biased_running_variance_breaks_the_statistics_alone(monkeypatch, start):
    right = vae_jax.layers.batch_norm._moments

    def biased(x, mask):
        mean, var, _ = right(x, mask)
        return mean, var, jax.numpy.asarray(1e12, x.dtype)

    monkeypatch.setattr(vae_jax.layers.batch_norm, "_moments", biased)
    # n is 131,072 and 8,192 here, so float32 could not see it.
    budgets = budgets_of(FACE, "float64")
    with jax.enable_x64(True):
        reference, port = TorchReference(FACE, np.float64, start), Port(FACE, np.float64, start)
        rows = check_training(NOISE_FED, reference, port, [PROBE], budgets)
    broken = {row.tensor for row in rows if not row.passed}
    assert broken == {
        "encoder.batch2.running_var",
        "decoder.decoder_conv.1.running_var",
        "decoder.decoder_conv.4.running_var",
    }


def test_momentum_the_other_way_round_breaks_the_statistics(monkeypatch, start):
    monkeypatch.setattr(face_vae, "BatchNorm", functools.partial(BatchNorm, momentum=0.9))
    stages = broken_stages(start)
    assert next(iter(stages.items())) == ("weights and statistics", "encoder.batch2.running_var")


def test_decoupled_weight_decay_breaks_the_moments(monkeypatch, start):
    def adamw(recipe):
        return optax.chain(
            optim.scale_by_adam(recipe.beta1, recipe.beta2, recipe.epsilon),
            optax.add_decayed_weights(0.1),
            optax.scale_by_learning_rate(recipe.learning_rate),
        )

    monkeypatch.setattr(port_module, "optimizer_of", adamw)
    assert "weights and statistics" in broken_stages(start)


def test_a_mean_for_a_sum_breaks_the_loss_terms_and_not_the_outputs(monkeypatch, start, reference):
    right = objectives._join
    monkeypatch.setattr(objectives, "_join", lambda term, mask, _: right(term, mask, "mean"))
    stages = broken_stages(start, reference)
    assert "forward" not in stages
    assert next(iter(stages.items())) == ("loss terms", "loss")


def test_statistics_of_eval_mode_in_training_break_the_loss_terms(monkeypatch, start, reference):
    class Frozen(BatchNorm):
        def __call__(self, x, *, train=False, mask=None):
            return super().__call__(x, train=False, mask=mask)

    monkeypatch.setattr(face_vae, "BatchNorm", Frozen)
    stages = broken_stages(start, reference)
    assert "forward" not in stages
    assert "loss terms" in stages


def test_a_wrong_learning_rate_breaks_the_float32_losses(monkeypatch):
    def faster(recipe):
        return optim.optimizer_of(recipe.replace(learning_rate=recipe.learning_rate * 1.01))

    assert check_model("digits_ae", precision="float32", steps=10).passed
    monkeypatch.setattr(port_module, "optimizer_of", faster)
    report = check_model("digits_ae", precision="float32", steps=10)
    assert {row.stage for row in report.rows if not row.passed} == {"losses, 10 steps"}
