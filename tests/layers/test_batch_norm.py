"""BatchNorm keeps PyTorch's statistics, and padding leaves no trace in them."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import TOLERANCES, nchw, relative_error

from vae_jax.layers import BatchNorm


def start(channels, dtype, rng):
    """Parameters and statistics that are not at their initial values."""
    params = {n: rng.uniform(0.5, 2, channels).astype(dtype) for n in ("scale", "bias")}
    stats = {n: rng.uniform(0.5, 2, channels).astype(dtype) for n in ("mean", "var")}
    return params, {**stats, "num_batches_tracked": np.int32(0)}


def torch_twin(params, stats):
    import torch

    twin = torch.nn.BatchNorm2d(len(params["scale"])).to(torch.tensor(params["scale"]).dtype)
    twin.load_state_dict(
        {
            "weight": torch.tensor(params["scale"]),
            "bias": torch.tensor(params["bias"]),
            "running_mean": torch.tensor(stats["mean"]),
            "running_var": torch.tensor(stats["var"]),
            "num_batches_tracked": torch.tensor(int(stats["num_batches_tracked"])),
        }
    )
    return twin


def train_once(params, stats, x, cotangent, mask=None, layer=None):
    """Output, new statistics, and the gradients towards parameters and input."""
    layer = layer or BatchNorm()

    @jax.jit
    def run(params, stats, x, cotangent, mask):
        def forward(params, x):
            return layer.apply(
                {"params": params, "batch_stats": stats},
                x, train=True, mask=mask, mutable=["batch_stats"],
            )  # fmt: skip

        output, pullback, new = jax.vjp(forward, params, x, has_aux=True)
        return output, new["batch_stats"], *pullback(cotangent)

    return jax.tree.map(np.asarray, run(params, stats, x, cotangent, mask))


@pytest.mark.torch
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_training_steps_and_then_evaluation_are_pytorchs(dtype):
    import torch

    rng, tolerance = np.random.default_rng(0), TOLERANCES[dtype]
    params, stats = start(3, dtype, rng)
    twin = torch_twin(params, stats)
    with jax.enable_x64(True):
        for step, batch in enumerate((4, 2, 4), start=1):
            x = (rng.normal(size=(batch, 4, 3, 3)) * [1, 5, 0.1] + [0, 2, -3]).astype(dtype)
            cotangent = rng.normal(size=x.shape).astype(dtype)
            output, stats, of_params, of_x = train_once(params, stats, x, cotangent)
            leaf = torch.tensor(nchw(x), requires_grad=True)
            twin.zero_grad()
            expected = twin(leaf)
            expected.backward(torch.tensor(nchw(cotangent)))
            assert output.dtype == of_x.dtype == stats["mean"].dtype == stats["var"].dtype == dtype
            # The third channel is 30 standard deviations from zero: that many digits are gone
            # from x - mean in both frameworks.
            amplified = 30 * tolerance
            assert relative_error(nchw(output), expected.detach().numpy()) < amplified
            assert relative_error(nchw(of_x), leaf.grad.numpy()) < amplified
            assert relative_error(of_params["scale"], twin.weight.grad.numpy()) < amplified
            assert relative_error(of_params["bias"], twin.bias.grad.numpy()) < amplified
            assert relative_error(stats["mean"], twin.running_mean.numpy()) < tolerance
            assert relative_error(stats["var"], twin.running_var.numpy()) < tolerance
            assert stats["num_batches_tracked"] == twin.num_batches_tracked.item() == step
            assert stats["num_batches_tracked"].dtype == np.int32

        twin.eval()
        variables = {"params": params, "batch_stats": stats}
        output = jax.jit(BatchNorm().apply)(variables, x)
        assert output.dtype == dtype
        expected = twin(torch.tensor(nchw(x))).detach().numpy()
        assert relative_error(nchw(np.asarray(output)), expected) < amplified


def test_evaluation_sees_each_example_alone():
    rng = np.random.default_rng(0)
    params, stats = start(2, np.float32, rng)
    x = rng.normal(size=(3, 4, 5, 2)).astype(np.float32)
    layer, variables = jax.jit(BatchNorm().apply), {"params": params, "batch_stats": stats}
    np.testing.assert_array_equal(layer(variables, x)[1:2], layer(variables, x[1:2]))


@pytest.mark.parametrize(("real", "padding"), [(1, 3), (3, 2)])
def test_padded_examples_change_nothing(real, padding):
    rng = np.random.default_rng(0)
    params, stats = start(3, np.float64, rng)
    x, cotangent = rng.normal(size=(2, real + padding, 2, 4, 3))
    x[real:] = x[real:] * 100 + 7
    cotangent[real:] = 0  # the loss masks these
    mask = (np.arange(real + padding) < real).astype(np.float64)
    with jax.enable_x64(True):
        alone = train_once(params, stats, x[:real], cotangent[:real])
        padded = train_once(params, stats, x, cotangent, mask)
    assert relative_error(padded[0][:real], alone[0]) < 1e-12
    assert relative_error(padded[3][:real], alone[3]) < 1e-12
    np.testing.assert_array_equal(padded[3][real:], 0)
    for tree in (1, 2):
        for name in alone[tree]:
            assert relative_error(padded[tree][name], alone[tree][name]) < 1e-12, name


def test_one_value_beside_padding_has_variance_zero_and_nothing_becomes_nan():
    # Only the mask's values tell, which a compiled step cannot refuse; training does, before it.
    params, stats = start(2, np.float32, np.random.default_rng(0))
    x = np.tile(np.asarray([3.0, -4.0], np.float32), (3, 1, 1, 1))
    mask = np.asarray([1, 0, 0], np.float32)
    results = train_once(params, stats, x, np.ones_like(x), mask)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(results))
    np.testing.assert_allclose(results[0][0].ravel(), params["bias"])
    np.testing.assert_allclose(results[1]["var"], 0.9 * stats["var"], rtol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_float32_statistics_of_a_big_input_keep_their_digits(masked):
    rng = np.random.default_rng(0)
    offset = np.asarray([0, 10, -50], np.float32)
    x = rng.normal(size=(16, 128, 128, 3)).astype(np.float32) + offset
    stats = {"mean": np.zeros(3, np.float32), "var": np.zeros(3, np.float32)}
    params = {"scale": np.ones(3, np.float32), "bias": np.zeros(3, np.float32)}
    mask = np.ones(16, np.float32) if masked else None
    _, new, _, _ = train_once(
        params, {**stats, "num_batches_tracked": np.int32(0)}, x, x, mask, BatchNorm(momentum=1.0)
    )
    truth = x.astype(np.float64)
    np.testing.assert_allclose(new["var"], truth.var((0, 1, 2), ddof=1), rtol=2e-5)
    np.testing.assert_allclose(new["mean"], truth.mean((0, 1, 2)), rtol=2e-6, atol=2e-6)


def test_initialising_in_train_mode_leaves_the_statistics_at_their_start():
    init = jax.jit(lambda key, x: BatchNorm().init(key, x, train=True))
    variables = init(jax.random.key(0), np.full((2, 3, 3, 2), 5, np.float32))
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], [0, 0])
    np.testing.assert_array_equal(variables["batch_stats"]["var"], [1, 1])
    assert variables["batch_stats"]["num_batches_tracked"] == 0
    np.testing.assert_array_equal(variables["params"]["scale"], [1, 1])
    np.testing.assert_array_equal(variables["params"]["bias"], [0, 0])


def test_a_float64_input_is_not_narrowed_by_float32_parameters():
    params, stats = start(2, np.float32, np.random.default_rng(0))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        given = {"params": params, "batch_stats": stats}, np.ones((2, 3, 3, 2))
        assert jax.eval_shape(BatchNorm().apply, *given).dtype == np.float64
        output, new = jax.eval_shape(
            lambda v, x: BatchNorm().apply(v, x, train=True, mutable=["batch_stats"]), *given
        )
        assert output.dtype == np.float64
        assert new["batch_stats"]["var"].dtype == np.float32  # a statistic keeps its own


def running_statistics(layer, stats, x):
    _, new = layer.apply(
        {"params": {"scale": jnp.ones(3), "bias": jnp.zeros(3)}, "batch_stats": stats},
        x, mutable=["batch_stats"],
    )  # fmt: skip
    return new["batch_stats"]


@pytest.mark.torch
def test_the_comparison_sees_flaxs_biased_variance_and_momentum_the_other_way_round():
    import torch

    rng = np.random.default_rng(0)
    params, stats = start(3, np.float64, rng)
    params = {"scale": np.ones(3), "bias": np.zeros(3)}
    twin = torch_twin(params, stats)
    x = rng.normal(size=(2, 3, 4, 3)) * 3
    twin(torch.tensor(nchw(x)))
    expected = twin.running_var.numpy()
    with jax.enable_x64(True):
        flax_stats = {"mean": stats["mean"], "var": stats["var"]}
        with jax.numpy_dtype_promotion("standard"):
            biased = running_statistics(
            nn.BatchNorm(use_running_average=False, momentum=0.9, param_dtype=jnp.float64),
            flax_stats, x,
        )  # fmt: skip
        right = train_once(params, stats, x, x)[1]
        reversed_momentum = train_once(params, stats, x, x, layer=BatchNorm(momentum=0.9))[1]
    assert relative_error(right["var"], expected) < 1e-13
    assert relative_error(biased["mean"], right["mean"]) < 1e-13  # only the variance differs
    assert relative_error(biased["var"], expected) > 1e-3
    assert relative_error(reversed_momentum["var"], expected) > 1e-1


@pytest.mark.parametrize("padded", [False, True])
def test_groups_are_normalised_apart_and_their_statistics_averaged(padded):
    """Each part of the batch as if it were alone; one that is padding counts nowhere."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(6, 4, 5, 3)) * 2 + 1).astype(np.float32)
    mask = np.array([1, 1, 1, 1, 0, 0], np.float32) if padded else None
    params, stats = start(3, np.float32, rng)
    variables = {"params": params, "batch_stats": stats}

    @functools.partial(jax.jit, static_argnums=0)
    def normalised(groups, x, mask=None):
        norm = BatchNorm(batch_norm_groups=groups)
        return norm.apply(variables, x, train=True, mask=mask, mutable=["batch_stats"])

    y, updates = normalised(3, x, mask)
    parts = [normalised(1, x[i : i + 2]) for i in ((0, 2) if padded else (0, 2, 4))]
    expected = np.concatenate([part for part, _ in parts])
    np.testing.assert_allclose(y[: len(expected)], expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(y).all()
    for name in ("mean", "var"):
        each = [stats["batch_stats"][name] for _, stats in parts]
        np.testing.assert_allclose(
            updates["batch_stats"][name], np.mean(each, axis=0), rtol=1e-5, atol=1e-6
        )
