"""The powers of the betas tell how many steps Adam took."""

import numpy as np
import pytest

from vae_jax.convert.beta_powers import power_after, steps_of
from vae_jax.errors import CheckpointError


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_powers_of_the_betas_tell_the_steps(dtype):
    power, factor = np.asarray(1, dtype), np.asarray(0.999, dtype)[()]
    for steps in range(11):  # as the frameworks do it
        power = np.asarray(power * factor)
        assert power == power_after(steps, 0.999, np.dtype(dtype))
    for steps in (1, 2, 10, 829, 830, 5_000, 80_000):
        powers = [(b, np.asarray(power_after(steps, b, np.dtype(dtype)))) for b in (0.9, 0.999)]
        assert steps_of(powers) == steps


def test_powers_that_were_multiplied_in_another_order_tell_the_same():
    for steps in (7, 300, 2_000):
        powers = [(beta, np.float32(beta ** (steps + 1))) for beta in (0.5, 0.999)]
        assert steps_of([(beta, np.asarray(power)) for beta, power in powers]) == steps


@pytest.mark.parametrize(
    ("powers", "message"),
    [
        ((0.0, 1e-42), r"\(0 and [\d.e-]+\) are too small to determine the step count"),
        ((0.5, 0.998001), "fits no step count"),
        ((0.81, 0.999**5), r"different step counts \(1 by 0.9, 4 by 0.999\)"),
        ((1.0, 0.999), "power of beta 0.9 is 1: expected a number from 0 to 1"),
        ((float("nan"), 0.999), "power of beta 0.9 is nan"),
    ],
)
def test_powers_that_determine_no_count_are_refused(powers, message):
    pairs = list(zip((0.9, 0.999), [np.asarray(p, np.float32) for p in powers], strict=True))
    with pytest.raises(CheckpointError, match=message):
        steps_of(pairs)


def test_a_count_beyond_all_products_is_undetermined():
    power = np.asarray(1e-300)
    with pytest.raises(CheckpointError, match="too small to determine"):
        steps_of([(0.0, power), (1 - 1e-12, power)])
    assert 0 < power_after(2**31, 1 - 1e-12, np.dtype(np.float64)) < 1
