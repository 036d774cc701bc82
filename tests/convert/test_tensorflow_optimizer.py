"""Adam's slots among TensorFlow's variables: read where it can go on."""

import numpy as np
import pytest
from adam_states import ADVICE, SMALL, assert_same_state, made_up

from vae_jax.convert.optimizer import parameter_shapes
from vae_jax.convert.tensorflow.optimizer import find_tf_adam, tf_variables
from vae_jax.errors import CheckpointError
from vae_jax.models import get_spec


def slots(change=lambda variables: None):
    recipe, hyper = get_spec("stddev_vae").recipe, SMALL["stddev_vae"]
    variables = dict(tf_variables(made_up("stddev_vae"), recipe))
    change(variables)
    return find_tf_adam(variables, parameter_shapes("stddev_vae", **hyper), recipe)


def test_tensorflows_slots_come_back_bit_for_bit_and_none_is_no_adam():
    assert_same_state(slots(), made_up("stddev_vae"))
    assert slots(lambda variables: variables.clear()) is None


def in_scopes(powers="", slots=""):
    """Rename what an optimiser made inside these scopes has under other names."""

    def change(variables):
        for name in list(variables):
            scope = powers if "power" in name else slots
            variables[f"{scope}{name}"] = variables.pop(name)

    return change


@pytest.mark.parametrize(
    ("powers", "slots_scope"),
    [("loss/", ""), ("train/", "train/"), ("a/b_1/", "train/recognition/"), ("", "")],
)
def test_an_optimiser_inside_scopes_is_the_same(powers, slots_scope):
    assert_same_state(slots(in_scopes(powers, slots_scope)), made_up("stddev_vae"))


def test_averages_of_the_weights_and_other_networks_are_not_adams():
    def average(variables):
        variables.clear()
        variables["recognition/d_h1/w/ExponentialMovingAverage"] = np.ones(2)
        variables["critic/w/Adam"] = np.ones(2)

    assert slots(average) is None
    beside = {"recognition/d_h1/w/ExponentialMovingAverage": np.ones(2), "w/Adam": np.ones(2)}
    assert_same_state(slots(lambda variables: variables.update(beside)), made_up("stddev_vae"))


@pytest.mark.parametrize(
    ("more", "settings"),
    [
        ({"learning_rate": np.float32(0.25)}, {"learning_rate": 0.25}),
        ({"train/lr": np.array([0.25])}, {"learning_rate": 0.25}),
        ({"learning_rate": np.float32(0.25), "b/learning_rate": np.float32(1)}, {}),
        ({"learning_rate": np.ones(2), "learning_rate_2": np.ones(()), "x/lr": np.array(1)}, {}),
    ],
    ids=range(4),
)
def test_the_only_variable_of_a_learning_rate_gives_it(more, settings):
    named = {name: np.asarray(value) for name, value in more.items()}
    assert slots(lambda variables: variables.update(named)).settings == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("beta2_power"), "without beta1_power and beta2_power"),
        (lambda v: v.update(beta1_power=np.ones(2)), "a number each"),
        (lambda v: v.pop("recognition/d_h1/w/Adam"), "two moments of recognition/d_h1/w"),
        (lambda v: v.update(beta1_power_1=np.ones(())), "several Adams ('beta1_power_1')"),
        (lambda v: v.update({"a/Adam_2": np.ones(())}), "several Adams ('a/Adam_2')"),
        (lambda v: [v.pop(k) for k in list(v) if "Adam" in k], "moments of no parameter"),
        (lambda v: v.update(beta1_power=np.array(0.5, np.float32)), "fits no step count"),
        (lambda v: v.update({"b/beta1_power": np.ones(())}), "several Adams ('b/...')"),
        (
            lambda v: v.update({"b/recognition/d_h1/w/Adam": v["recognition/d_h1/w/Adam"]}),
            "several Adams ('b/...')",
        ),
        (
            lambda v: [v.clear(), v.update({"recognition/d_h1/w/RMSProp": np.ones(1)})],
            "slots named 'RMSProp': expected those of AdamOptimizer",
        ),
        (
            lambda v: [
                v.update({k.replace("Adam", "Nadam"): v.pop(k) for k in list(v) if "Adam" in k})
            ],
            "slots named 'Nadam'",
        ),
    ],
    ids=range(11),
)
def test_tensorflows_slots_that_do_not_fit_are_one_line(change, message):
    with pytest.raises(CheckpointError) as error:
        slots(change)
    assert message in str(error.value)
    assert str(error.value).endswith(ADVICE)
