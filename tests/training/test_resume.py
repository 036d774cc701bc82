"""A run that was stopped anywhere ends with the bits of one that was not."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from vae_jax.errors import CheckpointError, RunError
from vae_jax.models import create_model
from vae_jax.recipe import Recipe
from vae_jax.training import epoch_runner, loop
from vae_jax.training.epoch_runner import Options
from vae_jax.training.run import check_resume, open_run
from vae_jax.training.saving import Checkpoints
from vae_jax.training.state import init_variables

from . import tiny

NUM_STEPS = 6  # of 22 images in batches of 4; the last one is padded


class StoppedError(Exception):
    """Stands for whatever ends a process."""


def run_of(path, model="tiny_vae", **fields):
    return tiny.run_of(path, model, **({"batch_size": 4} | fields))


def dataset():
    return tiny.dataset_of(22)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A whole run, of as many steps a call as the loop likes, and its lines."""
    run = run_of(tmp_path_factory.mktemp("whole") / "run")
    return loop.train(run, dataset(), options=Options(checkpoint_every=2)), lines_of(run)


def lines_of(run):
    lines = run.metrics.read_text().splitlines()
    return tiny.without_seconds([json.loads(line) for line in lines])


def stop_before(monkeypatch, num_batches):
    """The process ends when the loop asks for its next step after so many, one at a time."""
    left = [num_batches]

    def steps(self, *args):
        if left[0] == 0:
            raise StoppedError
        left[0] -= 1
        return run(self, *args)

    run = epoch_runner.EpochSteps.run
    monkeypatch.setattr(epoch_runner.EpochSteps, "run", steps)


def train_and_stop(run, num_batches, variables=None, resume=False, **options):
    options = Options(first_call=1, longest_call=1, **options)
    with pytest.MonkeyPatch.context() as patch:
        stop_before(patch, num_batches)
        with pytest.raises(StoppedError):
            loop.train(run, dataset(), resume=resume, variables=variables, options=options)


def assert_same(result, run, whole):
    expected, lines = whole
    assert tiny.bits(result.state) == tiny.bits(expected.state)
    assert tiny.without_seconds(result.epochs) == tiny.without_seconds(expected.epochs)
    assert lines_of(run) == lines


# Before the first checkpoint; within an epoch, just before a checkpoint and right after one; after
# a whole epoch; in the last batch of all, the padded one.
@pytest.mark.parametrize("stopped_at", [9, *map(tiny.slow, (1, 10, 12, 17))])
def test_a_run_stopped_at_any_step_resumes_to_the_same_bits(tmp_path, uninterrupted, stopped_at):
    run = run_of(tmp_path / "run")
    train_and_stop(run, stopped_at, checkpoint_every=2)
    result = loop.train(run, dataset(), resume=True, options=Options(checkpoint_every=2))
    assert_same(result, run, uninterrupted)


@pytest.mark.slow
def test_a_run_whose_batches_are_streamed_resumes_to_the_same_bits(tmp_path):
    streamed = Options(checkpoint_every=2, resident=False)
    whole, run = run_of(tmp_path / "whole"), run_of(tmp_path / "run")
    expected = loop.train(whole, dataset(), options=streamed)
    train_and_stop(run, 9, checkpoint_every=2, resident=False)
    result = loop.train(run, dataset(), resume=True, options=streamed)
    assert_same(result, run, (expected, lines_of(whole)))


@pytest.mark.slow
def test_a_run_stopped_twice_that_saves_at_other_steps_ends_the_same(tmp_path, uninterrupted):
    run = run_of(tmp_path / "run")
    train_and_stop(run, 9, checkpoint_every=5)
    train_and_stop(run, 3, checkpoint_every=2, resume=True)
    result = loop.train(run, dataset(), resume=True)
    assert_same(result, run, uninterrupted)


def test_more_epochs_continue_a_finished_run_and_are_written_down(tmp_path, uninterrupted):
    short = run_of(tmp_path / "run", epochs=1)
    loop.train(short, dataset())
    before = json.loads((short.path / "run.json").read_text())
    run = run_of(tmp_path / "run", epochs=3)
    assert_same(loop.train(run, dataset(), resume=True), run, uninterrupted)
    after = json.loads((run.path / "run.json").read_text())
    assert after["recipe"]["epochs"] == 3
    before["recipe"]["epochs"] = 3
    assert after == before


def test_resuming_a_finished_run_changes_nothing(tmp_path, uninterrupted):
    run = run_of(tmp_path / "run")
    loop.train(run, dataset())
    lines = run.metrics.read_text()
    result = loop.train(run, dataset(), resume=True)
    assert_same(result, run, uninterrupted)
    assert run.metrics.read_text() == lines


@pytest.mark.slow
def test_a_resumed_run_draws_the_figure_that_a_kill_may_have_prevented(tmp_path):
    loop.train(run_of(tmp_path / "run", epochs=1), dataset())
    seen = []
    loop.train(
        run_of(tmp_path / "run", epochs=2),
        dataset(),
        resume=True,
        on_epoch=lambda epoch, _: seen.append(epoch),
    )
    assert seen == [1, 2]


@pytest.mark.slow
def test_a_last_line_of_metrics_cut_short_by_a_crash_does_no_harm(tmp_path, uninterrupted):
    run = run_of(tmp_path / "run")
    train_and_stop(run, 7)
    with run.metrics.open("a") as file:
        file.write('{"epoch": 2, "st')
    result = loop.train(run, dataset(), resume=True)
    assert_same(result, run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("every", [tiny.slow(None), 2])
def test_a_run_stopped_between_an_epochs_line_and_its_checkpoint_resumes(
    tmp_path, uninterrupted, monkeypatch, every
):
    run, save = run_of(tmp_path / "run"), Checkpoints.save

    def fail_at_the_end(self, state, **more):
        if int(state.step) == 2 * NUM_STEPS:
            raise StoppedError
        save(self, state, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", fail_at_the_end)
        with pytest.raises(StoppedError):
            loop.train(run, dataset(), options=Options(checkpoint_every=every))
    result = loop.train(run, dataset(), resume=True)
    assert_same(result, run, uninterrupted)


@pytest.mark.slow
def test_lost_metrics_cost_no_more_than_their_own_lines(tmp_path, uninterrupted):
    run = run_of(tmp_path / "run")
    train_and_stop(run, 9, checkpoint_every=2)
    run.metrics.unlink()
    result = loop.train(run, dataset(), resume=True)
    whole, _ = uninterrupted
    assert tiny.bits(result.state) == tiny.bits(whole.state)
    assert tiny.without_seconds(result.epochs) == tiny.without_seconds(whole.epochs[1:])


@pytest.mark.slow
def test_a_run_with_given_weights_that_is_stopped_at_once_resumes_from_them(tmp_path):
    run = run_of(tmp_path / "run")
    network = create_model(run.model)
    variables = jax.tree.map(np.asarray, init_variables(network, jax.random.key(5)))
    whole = run_of(tmp_path / "whole")
    expected = loop.train(whole, dataset(), variables=variables)
    train_and_stop(run, 2, variables=variables)
    result = loop.train(run, dataset(), resume=True)
    assert tiny.bits(result.state) == tiny.bits(expected.state)


OTHER = {
    "batch_size": 5,
    "learning_rate": 0.5,
    "beta1": 0.5,
    "beta2": 0.5,
    "epsilon": 0.5,
    "epsilon_scaling": "tensorflow",
    "weight_decay": 0.5,
    "beta": 2.0,
    "beta_warmup": 4,
    "noise": 0.5,
    "corrupt": "mask:0.5",
    "images": "0,1,2",
    "reduction": "mean",
    "epoch_loss": "mean",
    "drop_remainder": True,
    "skip_unreadable": True,
    "batch_norm_groups": 2,
    "clip_norm": 0.5,
    "seed": 3,
}


def contents(folder):
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run"
    loop.train(run_of(path, epochs=1), dataset())
    return path


def refusal(run, data, **arguments):
    before = contents(run.path)
    with pytest.raises(RunError) as caught:
        loop.train(run, data, **arguments)
    assert contents(run.path) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_field_of_the_recipe_is_covered_below():
    names = {field.name for field in dataclasses.fields(Recipe)}
    assert names - OTHER.keys() == {"data", "epochs"}


def test_a_run_is_not_resumed_with_another_recipe(finished):
    data = {"fingerprint": dataset().fingerprint}
    for field, value in OTHER.items():
        with pytest.raises(RunError) as caught:
            check_resume(open_run(finished), run_of(finished, **{field: value}), data)
        assert f"{field} was " in str(caught.value)
        assert f"now {value!r}" in str(caught.value)
        assert not any(f"{name} was" in str(caught.value) for name in OTHER if name != field)


def test_all_that_differs_is_listed_at_once(finished):
    message = refusal(run_of(finished, seed=3, beta=2.0), tiny.dataset_of(22, seed=9), resume=True)
    for name in ("seed", "beta", "fingerprint"):
        assert f"{name} was" in message
    for data in (dataset(), tiny.dataset_of(22, seed=9)):
        assert data.fingerprint in message


def test_a_run_is_not_resumed_as_another_model(finished):
    message = refusal(run_of(finished, "digits_ae"), dataset(), resume=True)
    assert "model was 'tiny_vae', now 'digits_ae'" in message


def test_a_run_is_not_resumed_with_other_hyperparameters(finished):
    other = dataclasses.replace(run_of(finished), hyper={"latent_size": 5})
    assert "latent_size" in refusal(other, dataset(), resume=True)


def test_the_same_data_may_have_moved(finished, tmp_path):
    moved = dataclasses.replace(dataset(), name="elsewhere")
    run = run_of(finished, epochs=1, data="elsewhere")
    assert len(loop.train(run, moved, resume=True).epochs) == 1


def test_there_must_be_a_run_to_resume(tmp_path):
    run = run_of(tmp_path / "nothing here")
    with pytest.raises(RunError, match="holds no run to resume"):
        loop.train(run, dataset(), resume=True)
    assert not run.path.exists()


def test_a_second_run_into_a_folder_is_refused_and_changes_nothing(finished):
    assert "already holds a run" in refusal(run_of(finished), dataset())


def test_a_new_run_is_not_mixed_with_the_remains_of_another(tmp_path):
    run = run_of(tmp_path / "run", epochs=1)
    loop.train(run, dataset())
    (run.path / "run.json").unlink()
    other = run_of(tmp_path / "run", epochs=1, seed=1)
    assert "holds checkpoints of a run without its run.json" in refusal(other, dataset())


def test_a_file_in_the_place_of_the_run_folder_is_an_error_of_one_line(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunError, match="cannot write the run folder"):
        loop.train(run_of(tmp_path / "run"), dataset())
    assert (tmp_path / "run").read_text() == "mine"


def test_starting_weights_of_another_shape_are_refused_before_anything_is_written(tmp_path):
    run = run_of(tmp_path / "run")
    variables = init_variables(create_model("digits_ae", **tiny.HYPER), jax.random.key(0))
    with pytest.raises(CheckpointError, match="not the variables of"):
        loop.train(run, dataset(), variables=variables)
    assert not run.path.exists()


def test_fewer_epochs_than_were_begun_are_refused(tmp_path):
    run = run_of(tmp_path / "run")
    train_and_stop(run, 9, checkpoint_every=2)
    before = run.metrics.read_text()
    with pytest.raises(RunError, match="no fewer"):
        loop.train(run_of(tmp_path / "run", epochs=1), dataset(), resume=True)
    assert run.metrics.read_text() == before
