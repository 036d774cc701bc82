"""Fresh weights are distributed as the original framework's own, tensor by tensor."""

import math

import flax.traverse_util
import jax
import numpy as np
import pytest

import vae_jax
from vae_jax.layers.initializers import TORCH

BATCH_NORM = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
SLOW = pytest.mark.slow
PYTORCH = [
    pytest.param(name, marks=marks)
    for name, marks in (
        ("digits_ae", [pytest.mark.torch]),
        ("conv_vae", [pytest.mark.torch]),
        ("face_vae", [pytest.mark.torch, pytest.mark.slow]),
    )
]


def torch_bound(shape):
    """1/sqrt(fan_in) by PyTorch's own count of a weight's shape."""
    import torch

    fan_in, _ = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape, device="meta"))
    return fan_in**-0.5


def deviations(values, bound):
    """How far values are from uniform within the bound, in standard errors of their number.

    A uniform variable has mean 0, mean square b^2/3 and mean fourth power b^4/5.
    """
    values = np.asarray(values, np.float64).ravel() / bound
    root = np.sqrt(values.size)
    mean = abs(values.mean()) * root / np.sqrt(1 / 3)
    spread = abs(np.dot(values, values) / values.size - 1 / 3) * root / np.sqrt(1 / 5 - 1 / 9)
    return mean, spread


def assert_uniform(values, bound):
    largest = np.abs(values).max()
    assert largest <= bound * (1 + 2**-23)
    # P(all of n values stay below bound * (1 - t)) = (1 - t)^n < exp(-25) for t = 25 / n.
    assert largest >= bound * (1 - 25 / values.size)
    assert max(deviations(values, bound)) < 5


@pytest.mark.parametrize(
    "name", [PYTORCH[0], *(pytest.param(*p.values, marks=[*p.marks, SLOW]) for p in PYTORCH[1:])]
)
def test_every_parameter_starts_as_pytorchs_does(name, initial_variables):
    from vae_jax.parity.backends import create_reference

    theirs = create_reference(name, np.float32, seed=1).state_dict()
    ours = vae_jax.export_weights(name, initial_variables(name))
    assert ours.keys() == theirs.keys()
    for source, value in theirs.items():
        layer, _, kind = source.rpartition(".")
        weight = theirs[f"{layer}.weight"]
        assert ours[source].shape == value.shape, source
        if weight.ndim == 1:
            np.testing.assert_array_equal(ours[source], np.full(value.shape, BATCH_NORM[kind]))
            np.testing.assert_array_equal(ours[source], value)
        else:
            assert_uniform(ours[source], torch_bound(weight.shape))
            assert_uniform(value, torch_bound(weight.shape))  # PyTorch's own are measured right


def kolmogorov_distance(ours, theirs):
    """The largest gap between two samples' distribution functions, in units of what chance makes:
    above 2.5 once in 100,000 draws of one distribution."""
    ours, theirs = (np.sort(np.ravel(a)[:20_000]) for a in (ours, theirs))
    both = np.concatenate([ours, theirs])
    first, second = (np.searchsorted(a, both, side="right") / a.size for a in (ours, theirs))
    return np.abs(first - second).max() * np.sqrt(ours.size * theirs.size / both.size)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("stddev_vae", marks=pytest.mark.tensorflow),
        pytest.param("digits_cvae", marks=pytest.mark.paddle),  # digits_vae's layers and one more
    ],
)
def test_every_tensor_starts_with_the_originals_distribution(name, initial_variables):
    from vae_jax.parity.backends import create_reference

    theirs = create_reference(name, np.float32, seed=1).state_dict()
    ours = vae_jax.export_weights(name, initial_variables(name))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if value.size > 1 and np.ptp(value) == 0:
            np.testing.assert_array_equal(ours[key], value, key)
        else:
            assert kolmogorov_distance(ours[key], value) < 2.5, key


def test_the_distance_sees_another_spread_and_tails_cut_off():
    rng = np.random.default_rng(0)
    normal, other = rng.normal(size=(2, 20_000))
    assert kolmogorov_distance(normal, other) < 2.5 < kolmogorov_distance(normal, 1.1 * other)
    within = other[np.abs(other) < 1.9]
    assert kolmogorov_distance(normal, within) > 2.5


@pytest.mark.slow
def test_no_two_tensors_start_with_the_same_numbers(initial_variables):
    leaves = flax.traverse_util.flatten_dict(initial_variables("conv_vae")["params"])
    # Two tensors from one key would be each other's multiples.
    ratios = [float(np.ravel(v)[1] / np.ravel(v)[0]) for v in leaves.values() if v.size > 1]
    assert len(ratios) > 10
    assert len(np.unique(np.round(ratios, 5))) == len(ratios)


@pytest.mark.torch
def test_the_comparison_sees_the_naive_fan_in_of_a_transposed_convolution(initial_variables):
    """decoder.3 turns 64 channels into 32: PyTorch counts 32 * 9 where 64 * 9 go in."""
    kernel = initial_variables("conv_vae")["params"]["decoder_3"]["kernel"]
    bound = torch_bound((64, 32, 3, 3))
    assert bound == (32 * 9) ** -0.5
    naive = np.asarray(kernel) * math.sqrt(0.5)
    assert max(deviations(kernel, bound)) < 5
    assert max(deviations(naive, bound)) > 30
    with pytest.raises(AssertionError):
        assert_uniform(naive, bound)


def test_the_comparison_sees_a_normal_distribution_of_the_same_spread():
    bound = 0.1
    values = np.random.default_rng(0).normal(0, bound / np.sqrt(3), 10_000)
    with pytest.raises(AssertionError):
        assert_uniform(values, bound)


def test_another_key_gives_other_numbers_and_the_same_key_the_same():
    init = TORCH.kernel(9, 1)
    one, same, other = (init(jax.random.key(k), (5, 4)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.isclose(one, other).any()
