"""Fresh weights are distributed as the original framework's own, tensor by tensor."""

import flax.traverse_util
import jax
import numpy as np
import pytest
import torch

import vae_jax
from vae_jax.layers.initializers import TORCH
from vae_jax.parity.backends import create_reference
from vae_jax.parity.originals.pytorch import RUNNERS

NAMES = [n for n in vae_jax.MODELS if n in RUNNERS]
BATCH_NORM = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}


def torch_bound(tensors, source):
    """1/sqrt(fan_in) by PyTorch's own count; None for the tensors of a batch norm."""
    weight = tensors[source.rpartition(".")[0] + ".weight"]
    if weight.ndim == 1:
        return None
    fan_in, _ = torch.nn.init._calculate_fan_in_and_fan_out(
        torch.empty(weight.shape, device="meta")
    )
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


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_starts_as_pytorchs_does(name, initial_variables, torch_tensors):
    leaves = flax.traverse_util.flatten_dict(initial_variables(name))
    tensors, _ = torch_tensors(name)
    rules = vae_jax.MODELS[name].rules(vae_jax.create_model(name))
    assert len(rules) == len(leaves) == len(tensors)
    for rule in rules:
        ours, theirs = np.asarray(leaves[rule.target]), tensors[rule.source]
        bound = torch_bound(tensors, rule.source)
        if bound is None:
            start = BATCH_NORM[rule.source.rpartition(".")[2]]
            np.testing.assert_array_equal(ours, np.full(theirs.shape, start), rule.source)
            np.testing.assert_array_equal(ours, theirs, rule.source)
        else:
            assert_uniform(ours, bound)
            assert_uniform(theirs, bound)  # the yardstick measures PyTorch's own tensors right


def kolmogorov_distance(ours, theirs):
    """The largest gap between two samples' distribution functions, in units of what chance makes:
    above 2.5 once in 100,000 draws of one distribution."""
    ours, theirs = (np.sort(np.ravel(a)[:20_000]) for a in (ours, theirs))
    both = np.concatenate([ours, theirs])
    counts = (np.searchsorted(a, both, side="right") / a.size for a in (ours, theirs))
    first, second = counts
    return np.abs(first - second).max() * np.sqrt(ours.size * theirs.size / both.size)


@pytest.mark.parametrize("name", vae_jax.MODELS)
def test_every_tensor_starts_with_the_originals_distribution(name, initial_variables):
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


@pytest.mark.parametrize("name", NAMES)
def test_no_two_tensors_start_with_the_same_numbers(name, initial_variables):
    leaves = flax.traverse_util.flatten_dict(initial_variables(name)["params"])
    uniform = {p: v.ravel() for p, v in leaves.items() if (*p[:-1], "kernel") in leaves}
    # Two tensors from one key would be each other's multiples.
    ratios = [float(v[1] / v[0]) for v in uniform.values()]
    assert len(ratios) == 2 * len([p for p in leaves if p[-1] == "kernel"])
    assert len(np.unique(np.round(ratios, 5))) == len(ratios)


def test_the_comparison_sees_the_naive_fan_in_of_a_transposed_convolution(
    initial_variables, torch_tensors
):
    """decoder_conv.0 turns 32 channels into 16: PyTorch counts 16 * 9 where 32 * 9 go in."""
    tensors, _ = torch_tensors("face_vae")
    kernel = initial_variables("face_vae")["params"]["decoder"]["decoder_conv_0"]["kernel"]
    bound = torch_bound(tensors, "decoder.decoder_conv.0.weight")
    assert bound == (16 * 9) ** -0.5
    naive = TORCH.kernel(32 * 9, 1)(jax.random.key(0), kernel.shape)
    assert max(deviations(kernel, bound)) < 5
    assert max(deviations(naive, bound)) > 30
    with pytest.raises(AssertionError):
        assert_uniform(np.asarray(naive), bound)


def test_the_comparison_sees_a_normal_distribution_of_the_same_spread():
    bound = 0.1
    values = np.random.default_rng(0).normal(0, bound / np.sqrt(3), 10_000)
    with pytest.raises(AssertionError):
        assert_uniform(values, bound)


@pytest.mark.parametrize("fan_in", [1, 9, 784])
def test_another_key_gives_other_numbers_and_the_same_key_the_same(fan_in):
    init = TORCH.kernel(fan_in, 1)
    one, same, other = (init(jax.random.key(k), (5, 4)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.isclose(one, other).any()
