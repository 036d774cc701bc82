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
    ],
    ids=range(7),
)
def test_tensorflows_slots_that_do_not_fit_are_one_line(change, message):
    with pytest.raises(CheckpointError) as error:
        slots(change)
    assert message in str(error.value)
    assert str(error.value).endswith(ADVICE)
