"""The powers of the betas tell how many steps Adam took, and TensorFlow's slots need them."""

import numpy as np
import pytest
from adam_states import ADVICE, SMALL, assert_same_state, made_up

from vae_jax.convert.beta_powers import power_after, steps_of
from vae_jax.convert.optimizer import parameter_shapes
from vae_jax.convert.tensorflow.optimizer import find_tf_adam, tf_variables
from vae_jax.errors import CheckpointError
from vae_jax.models import get_spec


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("steps", [1, 2, 10, 829, 830, 5_000, 80_000])
def test_the_powers_of_the_betas_tell_the_steps(steps, dtype):
    power = np.asarray(1, dtype)
    factor = np.asarray(0.999, dtype)[()]
    if steps <= 10:  # as the frameworks do it
        for _ in range(steps + 1):
            power = np.asarray(power * factor)
        assert power == power_after(steps, 0.999, np.dtype(dtype))
    powers = [(b, np.asarray(power_after(steps, b, np.dtype(dtype)))) for b in (0.9, 0.999)]
    assert steps_of(powers) == steps


def test_powers_that_were_multiplied_in_another_order_tell_the_same():
    for steps in (7, 300, 2_000):
        powers = [(beta, np.float32(beta ** (steps + 1))) for beta in (0.5, 0.999)]
        assert steps_of([(beta, np.asarray(power)) for beta, power in powers]) == steps


@pytest.mark.parametrize(
    ("powers", "message"),
    [
        ((0.0, 1e-42), r"\(0 and [\d.e-]+\) are too small to tell the steps"),
        ((0.5, 0.998001), "is that of no number of steps"),
        ((0.81, 0.999**5), r"different numbers of steps \(1 by 0.9, 4 by 0.999\)"),
        ((1.0, 0.999), "power of beta 0.9 is 1: expected a number from 0 to 1"),
        ((float("nan"), 0.999), "power of beta 0.9 is nan"),
    ],
)
def test_powers_that_tell_no_count_are_refused(powers, message):
    pairs = list(zip((0.9, 0.999), [np.asarray(p, np.float32) for p in powers], strict=True))
    with pytest.raises(CheckpointError, match=message):
        steps_of(pairs)


def test_a_count_past_all_products_is_left_undetermined():
    power = np.asarray(1e-300)
    with pytest.raises(CheckpointError, match="too small to tell"):
        steps_of([(0.0, power), (1 - 1e-12, power)])
    assert 0 < power_after(2**31, 1 - 1e-12, np.dtype(np.float64)) < 1


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
        (lambda v: v.pop("beta2_power"), "without a number each for beta1_power and beta2_power"),
        (lambda v: v.update(beta1_power=np.ones(2)), "without a number each"),
        (lambda v: v.pop("recognition/d_h1/w/Adam"), "moments alone of recognition/d_h1/w"),
        (lambda v: v.update(beta1_power_1=np.ones(())), "several Adams ('beta1_power_1')"),
        (lambda v: v.update({"a/Adam_2": np.ones(())}), "several Adams ('a/Adam_2')"),
        (lambda v: [v.pop(k) for k in list(v) if "Adam" in k], "moments of no parameter"),
        (lambda v: v.update(beta1_power=np.array(0.5, np.float32)), "that of no number of steps"),
    ],
    ids=range(7),
)
def test_tensorflows_slots_that_do_not_fit_are_one_line(change, message):
    with pytest.raises(CheckpointError) as error:
        slots(change)
    assert message in str(error.value)
    assert str(error.value).endswith(ADVICE)
