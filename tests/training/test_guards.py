"""A step that is not finite stops the run there, or is skipped, and says what it was."""

import jax
import numpy as np
import pytest

from vae_jax.errors import RunError
from vae_jax.models import create_model, init_variables
from vae_jax.optim import make_optimizer
from vae_jax.training import loop, whole_epochs
from vae_jax.training.checkpoint import load_run_state
from vae_jax.training.metrics import read_metrics
from vae_jax.training.stopping import StoppedError

from . import tiny

WAYS = pytest.mark.parametrize("resident", [True, False], ids=["resident", "streamed"])


SLOPES = {"gradient": np.inf, "large gradient": 1e25}


def dataset():
    return tiny.dataset_of()


def exploding(monkeypatch, at, kind="loss"):
    """From now on the loss, or its gradient, is not finite at a step, or at several."""
    make = whole_epochs.make_loss

    def made(*args, **kwargs):
        loss = make(*args, **kwargs)

        def broken(params, stats, batch, noise, *, step):
            total, (metrics, stats) = loss(params, stats, batch, noise, step=step)
            bad = (step == np.asarray(at)).any()
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

    monkeypatch.setattr(whole_epochs, "make_loss", made)


@jax.custom_jvp
def _edge(x, slope):
    return 0.0 * x


@_edge.defjvp
def _edge_jvp(primals, tangents):
    return _edge(*primals), tangents[0] * primals[1]


@WAYS
@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_run_stops_at_the_step_and_keeps_the_checkpoint_before(
    tmp_path, monkeypatch, resident, kind
):
    monkeypatch.setattr(whole_epochs, "stays_on_device", lambda *_: resident)
    whole = tiny.run_of(tmp_path / "whole", "tiny_vae")
    loop.train(whole, dataset(), checkpoint_every=1, keep=9)
    run = tiny.run_of(tmp_path / "run", "tiny_vae")
    with monkeypatch.context() as patch:
        exploding(patch, [4], kind)  # the fifth
        with pytest.raises(RunError) as caught:
            loop.train(run, dataset(), checkpoint_every=2)
    message = str(caught.value)
    assert message.startswith("step 5 (batch 2 of epoch 2) is not finite: ")
    assert ("kl divergence is inf" if kind == "loss" else ": the loss is ") in message
    assert "largest pre-activation is" in message or "first layer that is not" in message
    assert ("gradient is not finite for image.bias" in message) == (kind == "gradient")
    assert "checkpoint 3, before it, is kept" in message
    assert "\n" not in message
    kept = load_run_state(run.checkpoints)
    assert tiny.bits(kept) == tiny.bits(load_run_state(whole.checkpoints, 3))
    result = loop.train(run, dataset(), resume=True)  # whatever it was, it is mended
    assert int(result.state.step) == 9


@WAYS
def test_the_state_of_a_run_that_stops_is_the_one_before_the_step(tmp_path, monkeypatch, resident):
    """Shown by what the reasons are looked for with."""
    monkeypatch.setattr(whole_epochs, "stays_on_device", lambda *_: resident)
    seen = []
    monkeypatch.setattr(
        whole_epochs, "why_not_finite", lambda loss, inputs, state, *_: seen.append(state) or "why"
    )
    for name, bad in (("whole", []), ("run", [1])):
        run = tiny.run_of(tmp_path / name, "tiny_vae")
        exploding(monkeypatch, bad or [99])
        if bad:
            with pytest.raises(RunError, match="step 2 "):
                loop.train(run, dataset())
        else:
            loop.train(run, dataset(), checkpoint_every=1, keep=9)
    before = load_run_state(tmp_path / "whole" / "checkpoints", 1)
    assert tiny.bits(seen[0].params) == tiny.bits(before.params)
    assert int(seen[0].step) == 1


@WAYS
def test_skipped_steps_leave_all_but_the_count_as_it_was(tmp_path, monkeypatch, resident):
    monkeypatch.setattr(whole_epochs, "stays_on_device", lambda *_: resident)
    exploding(monkeypatch, [1, 2])
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=1)
    result = loop.train(
        run, dataset(), on_nonfinite="skip", checkpoint_every=1, keep=9, skip_limit=2
    )
    one, last = (load_run_state(run.checkpoints, step) for step in (1, 3))
    assert tiny.bits(one.params) == tiny.bits(last.params)
    assert tiny.bits(one.opt_state) == tiny.bits(last.opt_state)
    (record,) = result.epochs
    assert record["skipped"] == 2
    assert np.isfinite(record["loss"])
    assert read_metrics(run) == result.epochs


def test_more_skips_than_allowed_stop_the_run_and_a_resume_remembers_them(tmp_path, monkeypatch):
    exploding(monkeypatch, [1, 4])
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=1)
    loop.train(run, dataset(), on_nonfinite="skip", skip_limit=1)
    more = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=2)
    with pytest.raises(RunError, match=r"has skipped 2 steps .* batch 2 of epoch 2") as caught:
        loop.train(more, dataset(), resume=True, on_nonfinite="skip", skip_limit=1)
    assert "--skip-limit allows 1" in str(caught.value)


def test_skips_within_an_epoch_count_after_a_resume(tmp_path, monkeypatch):
    monkeypatch.setattr(whole_epochs, "_FIRST_CALL", 1)
    monkeypatch.setattr(whole_epochs, "LONGEST_CALL", 1)
    exploding(monkeypatch, [0, 1, 2])
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=1)
    options = {"on_nonfinite": "skip", "skip_limit": 2}
    calls = iter([None, "SIGTERM", "SIGTERM"])
    with pytest.raises(StoppedError):
        loop.train(run, dataset(), stop=lambda: next(calls), **options)
    with pytest.raises(RunError, match="has skipped 3 steps"):
        loop.train(run, dataset(), resume=True, **options)


def test_an_epochs_mean_is_that_of_the_steps_that_were_taken(tmp_path, monkeypatch):
    exploding(monkeypatch, [2])
    found = {}
    for kind in ("sum", "mean"):
        run = tiny.run_of(tmp_path / kind, "tiny_vae", epochs=1, epoch_loss=kind)
        (found[kind],) = loop.train(run, dataset(), on_nonfinite="skip").epochs
    assert found["mean"]["skipped"] == 1
    assert found["mean"]["loss"] == found["sum"]["loss"] / 2


def test_an_epoch_without_a_step_stops_the_run(tmp_path, monkeypatch):
    exploding(monkeypatch, [3, 4, 5])
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=2)
    with pytest.raises(RunError, match="has skipped all 3 steps of epoch 2"):
        loop.train(run, dataset(), on_nonfinite="skip")
    assert len(read_metrics(run)) == 1


def test_a_gradient_whose_square_is_not_finite_is_told_as_that(tmp_path, monkeypatch):
    exploding(monkeypatch, [1], "large gradient")
    with pytest.raises(RunError) as caught:
        loop.train(tiny.run_of(tmp_path / "run", "tiny_vae", epochs=1), dataset())
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
    assert "first layer that is not finite is image" in str(caught.value) or (
        "of log_std" in str(caught.value)
    )


def test_a_clipped_gradient_has_the_norm_of_the_recipe():
    optimizer = make_optimizer("digits_ae", clip_norm=1.0, beta1=0.0, beta2=0.0, epsilon=1e8)
    grads = {"w": np.full(4, 50.0, np.float32)}
    updates, _ = optimizer.update(grads, optimizer.init(grads), grads)
    small, _ = optimizer.update({"w": np.full(4, 0.5, np.float32)}, optimizer.init(grads), grads)
    np.testing.assert_allclose(updates["w"], small["w"], rtol=1e-6)
