"""A step that is not finite stops the run there, or is skipped, and says what it was."""

import dataclasses

import jax
import numpy as np
import pytest

from vae_jax.errors import RunError
from vae_jax.models import create_model, init_variables
from vae_jax.optim import make_optimizer
from vae_jax.training import epoch_runner, loop
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.epoch_runner import Options
from vae_jax.training.metrics import read_metrics
from vae_jax.training.stopping import StoppedError

from . import tiny

# Of three an epoch: two of the second, one of the third, and all of the fourth. One set for all
# tests, because each is a program of its own.
BAD = np.array([4, 5, 7, 9, 10, 11])
SLOPES = {"gradient": np.inf, "large gradient": 1e25}


def dataset():
    return tiny.dataset_of()


def exploding(monkeypatch, kind="loss"):
    """From now on the loss, or its gradient, is not finite at the steps of ``BAD``."""
    make = epoch_runner.make_loss

    def made(*args, **kwargs):
        loss = make(*args, **kwargs)

        def broken(params, stats, batch, noise, *, step):
            total, (metrics, stats) = loss(params, stats, batch, noise, step=step)
            bad = (step == BAD).any()
            if kind in SLOPES:  # of a finite loss
                slope = jax.numpy.where(bad, np.float32(SLOPES[kind]), np.float32(0))
                total = total + _edge(params["image"]["bias"].sum(), slope)
            else:
                metrics["kl_divergence"] = metrics["kl_divergence"] + jax.numpy.where(
                    bad, np.inf, 0.0
                )
                total = total + jax.numpy.where(bad, np.inf, 0.0)
            return total, (metrics | {"loss": total}, stats)

        return broken

    monkeypatch.setattr(epoch_runner, "make_loss", made)


@jax.custom_jvp
def _edge(x, slope):
    return 0.0 * x


@_edge.defjvp
def _edge_jvp(primals, tangents):
    return _edge(*primals), tangents[0] * primals[1]


@pytest.fixture(scope="module")
def steps_of_a_whole_run(tmp_path_factory):
    """The checkpoints of each step."""
    whole = tiny.run_of(tmp_path_factory.mktemp("whole") / "run", "tiny_vae", epochs=2)
    loop.train(whole, dataset(), options=Options(checkpoint_every=1, keep=9))
    return whole.checkpoints


@pytest.mark.parametrize(
    ("kind", "resident"), [("loss", True), tiny.slow("gradient", True), tiny.slow("loss", False)]
)
def test_a_run_stops_at_the_step_and_keeps_the_checkpoint_before(
    tmp_path, monkeypatch, resident, kind, steps_of_a_whole_run
):
    why, seen = epoch_runner.why_not_finite, []
    monkeypatch.setattr(
        epoch_runner,
        "why_not_finite",
        lambda loss, inputs, state, *rest: seen.append(state) or why(loss, inputs, state, *rest),
    )
    run = tiny.run_of(tmp_path / "run", "tiny_vae")
    with monkeypatch.context() as patch:
        exploding(patch, kind)
        with pytest.raises(RunError) as caught:
            loop.train(run, dataset(), options=Options(checkpoint_every=2, resident=resident))
    message = str(caught.value)
    assert message.startswith("step 5 (batch 2 of epoch 2) is not finite: ")
    assert ("kl divergence is inf" if kind == "loss" else ": the loss is ") in message
    assert "; the largest pre-activation is" in message
    assert ("gradient is not finite for image.bias" in message) == (kind == "gradient")
    assert "checkpoint 3, before it, is kept" in message
    assert "\n" not in message
    # The reasons are looked for in the state before the step, not after it.
    assert int(seen[0].step) == 4
    kept = load_run_state(run.checkpoints)
    if resident:  # the same program as of the whole run: the same bits
        before = load_run_state(steps_of_a_whole_run, 4)
        assert tiny.bits(seen[0].params) == tiny.bits(before.params)
        assert tiny.bits(kept) == tiny.bits(load_run_state(steps_of_a_whole_run, 3))
    result = loop.train(run, dataset(), resume=True)  # whatever it was, it is mended
    assert int(result.state.step) == 9


@pytest.mark.parametrize("resident", [tiny.slow(True), False])
def test_skipped_steps_leave_all_but_the_count_as_it_was(tmp_path, monkeypatch, resident):
    exploding(monkeypatch)
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=2)
    options = Options(1, keep=9, on_nonfinite="skip", skip_limit=2, resident=resident)
    result = loop.train(run, dataset(), options=options)
    before, after = (load_run_state(run.checkpoints, step) for step in (4, 6))
    assert tiny.bits(before.params) == tiny.bits(after.params)
    assert tiny.bits(before.opt_state) == tiny.bits(after.opt_state)
    first, second = result.epochs
    assert "skipped" not in first
    assert second["skipped"] == 2
    assert np.isfinite(second["loss"])
    assert read_metrics(run) == result.epochs
    # A resume remembers them.
    more = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=3)
    with pytest.raises(RunError, match=r"has skipped 3 steps .* batch 2 of epoch 3") as caught:
        loop.train(more, dataset(), resume=True, options=options)
    assert "--skip-limit allows 2" in str(caught.value)


@pytest.mark.slow
def test_skips_within_an_epoch_count_after_a_resume(tmp_path, monkeypatch):
    exploding(monkeypatch)
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=2)
    options = Options(on_nonfinite="skip", skip_limit=1, first_call=1, longest_call=1)
    calls = iter([None, None, None, None, "SIGTERM", "SIGTERM"])
    with pytest.raises(StoppedError, match="saved at step 5"):
        loop.train(run, dataset(), options=dataclasses.replace(options, stop=lambda: next(calls)))
    with pytest.raises(RunError, match=r"has skipped 2 steps .* batch 3 of epoch 2"):
        loop.train(run, dataset(), resume=True, options=options)


@pytest.mark.slow
def test_an_epochs_mean_is_that_of_the_steps_that_were_taken(tmp_path, monkeypatch):
    """And an epoch of which none was taken stops the run."""
    exploding(monkeypatch)
    last = {}
    for kind in ("sum", "mean"):
        run = tiny.run_of(tmp_path / kind, "tiny_vae", epochs=4, epoch_loss=kind)
        with pytest.raises(RunError, match="has skipped all 3 steps of epoch 4"):
            loop.train(run, dataset(), options=Options(on_nonfinite="skip"))
        *_, last[kind] = read_metrics(run)
    assert last["mean"]["epoch"] == 3
    assert last["mean"]["skipped"] == 1
    assert last["mean"]["loss"] == last["sum"]["loss"] / 2


@pytest.mark.slow
def test_a_gradient_whose_square_is_not_finite_is_told_as_that(tmp_path, monkeypatch):
    exploding(monkeypatch, "large gradient")
    with pytest.raises(RunError) as caught:
        loop.train(tiny.run_of(tmp_path / "run", "tiny_vae", epochs=2), dataset())
    assert "the gradient is up to 1e+25 for image.bias, and Adam squares it" in str(caught.value)


def test_the_layer_that_overflows_an_exponential_is_named(tmp_path):
    """A log standard deviation of 100 is finite; its exponential is not."""
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=1)
    variables = jax.tree.map(np.array, init_variables(create_model("tiny_vae"), jax.random.key(0)))
    variables["params"]["log_std"]["bias"] += np.float32(100)
    with pytest.raises(RunError) as caught:
        loop.train(run, dataset(), variables=variables)
    assert "step 1 (batch 1 of epoch 1)" in str(caught.value)
    assert "kl divergence is inf" in str(caught.value)
    assert "the first layer that is not finite is image" in str(caught.value)


def test_a_clipped_gradient_has_the_norm_of_the_recipe():
    optimizer = make_optimizer("digits_ae", clip_norm=1.0, beta1=0.0, beta2=0.0, epsilon=1e8)
    large, small = ({"w": np.full(4, size, np.float32)} for size in (50.0, 0.5))
    clipped, whole = (
        np.asarray(jax.tree.leaves(optimizer.update(grads, optimizer.init(grads), grads)[0])[0])
        for grads in (large, small)
    )
    np.testing.assert_allclose(clipped, whole, rtol=1e-6)
