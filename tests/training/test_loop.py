"""The loop against a plain one, and what a run's seed decides."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vae_jax.data import epoch_order
from vae_jax.distributions import example_noise
from vae_jax.models import create_model
from vae_jax.objectives import make_loss
from vae_jax.optim import optimizer_of
from vae_jax.training import epoch as epoch_module
from vae_jax.training import loop
from vae_jax.training.epoch_runner import Options
from vae_jax.training.parallel import Parallel
from vae_jax.training.state import init_variables

from . import tiny

NAMES = {
    "digits_ae": ["loss", "reconstruction"],
    "tiny_vae": ["loss", "reconstruction", "kl_divergence"],
}


def initial(run):
    variables = init_variables(create_model(run.model, **run.hyper), jax.random.key(77))
    return jax.tree.map(np.asarray, variables)


def plain_loop(run, dataset, variables):
    """Listing 7.3: the batches as they come, the last one as short as it is, no mask."""
    recipe, split = run.recipe, dataset.train
    optimizer = optimizer_of(recipe)
    loss = make_loss(run.model, recipe=recipe, **run.hyper)
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    opt_state, step, epochs = optimizer.init(params), 0, []
    noise_key = jax.random.split(jax.random.key(recipe.seed))[1]
    for epoch in range(1, recipe.epochs + 1):
        order, figures = epoch_order(len(split), recipe.seed, epoch), []
        for start in range(0, len(order), recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            image = jnp.asarray(split.images[rows], jnp.float32) / 255
            noise = None
            if run.model == "tiny_vae":
                noise = example_noise(jax.random.fold_in(noise_key, step), len(rows), 2)
            (_, (metrics, batch_stats)), grads = gradient(
                params, batch_stats, {"image": image}, noise
            )
            updates, opt_state = jax.jit(optimizer.update)(grads, opt_state, params)
            params, step = optax.apply_updates(params, updates), step + 1
            metrics |= {"gradient_norm": optax.tree.norm(grads)}
            figures.append({name: float(value) for name, value in metrics.items()})
        epochs.append({name: [f[name] for f in figures] for name in figures[0]})
    return epochs, {"params": params} | ({"batch_stats": batch_stats} if batch_stats else {})


@pytest.mark.parametrize("model", [tiny.slow("digits_ae"), "tiny_vae"])
def test_the_epochs_figure_and_the_weights_are_those_of_a_plain_loop(tmp_path, model):
    run, dataset = tiny.run_of(tmp_path / "run", model, epochs=2), tiny.dataset_of(22)
    variables = initial(run)
    batches, expected = plain_loop(run, dataset, variables)
    result = loop.train(run, dataset, variables=variables)
    assert [r["epoch"] for r in result.epochs] == [1, 2]
    assert [r["step"] for r in result.epochs] == [3, 6]
    join = {"digits_ae": np.mean, "tiny_vae": np.sum}[model]  # listings 7.3 and 7.6
    for record, figures in zip(result.epochs, batches, strict=True):
        others = {"epoch", "step", "seconds", "compile_seconds", "gradient_norm"}
        assert record.keys() - others == set(NAMES[model])
        mean = np.mean(figures["gradient_norm"])
        np.testing.assert_allclose(record["gradient_norm"], mean, rtol=1e-5)
        for name in NAMES[model]:
            assert len(figures[name]) == 3  # the last one of 6 images counts as much
            np.testing.assert_allclose(record[name], join(figures[name]), rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7),
        result.state.variables,
        expected,
    )


def test_the_other_way_to_join_the_batches_differs_by_their_number(tmp_path):
    dataset = tiny.dataset_of(22)
    mean, total = (
        loop.train(tiny.run_of(tmp_path / join, epochs=1, epoch_loss=join), dataset)
        for join in ("mean", "sum")
    )
    assert total.epochs[0]["loss"] == pytest.approx(3 * mean.epochs[0]["loss"], rel=1e-12)


@pytest.mark.slow
def test_a_dropped_remainder_is_not_trained_on(tmp_path):
    run = tiny.run_of(tmp_path / "run", epochs=1, drop_remainder=True)
    assert loop.train(run, tiny.dataset_of(22)).epochs[0]["step"] == 2


def test_the_figures_go_into_the_run_folder_a_line_an_epoch(tmp_path):
    run = tiny.run_of(tmp_path / "run")
    result = loop.train(run, tiny.dataset_of())
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert lines == result.epochs
    assert all(line["seconds"] >= line["compile_seconds"] >= 0 for line in lines)
    assert lines[0]["compile_seconds"] > 0 == lines[-1]["compile_seconds"]


def test_the_callback_sees_the_weights_before_training_and_after_each_epoch(tmp_path):
    run, seen = tiny.run_of(tmp_path / "run", epochs=2), []
    variables = initial(run)
    result = loop.train(
        run,
        tiny.dataset_of(),
        variables=variables,
        on_epoch=lambda epoch, now: seen.append((epoch, tiny.bits(now))),
    )
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert seen[0][1] == tiny.bits(variables)
    assert seen[2][1] == tiny.bits(result.state.variables)


@pytest.mark.slow
def test_a_seed_decides_every_bit_and_another_seed_others(tmp_path):
    model, dataset = "tiny_vae", tiny.dataset_of()
    first, again, other = (
        loop.train(tiny.run_of(tmp_path / name, model, epochs=2, seed=seed), dataset)
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert tiny.bits(first.state) == tiny.bits(again.state)
    assert tiny.without_seconds(first.epochs) == tiny.without_seconds(again.epochs)
    ours, theirs = (tiny.bits(result.state.params) for result in (first, other))
    assert all(ours[path] != theirs[path] for path in ours)


@pytest.mark.slow
def test_the_seed_decides_the_order_and_the_noise_where_the_weights_are_given(tmp_path):
    model = "tiny_vae"
    dataset, variables = tiny.dataset_of(), initial(tiny.run_of(tmp_path, model))
    first, other = (
        loop.train(
            tiny.run_of(tmp_path / str(seed), model, epochs=1, seed=seed),
            dataset,
            variables=variables,
        )
        for seed in (0, 1)
    )
    assert tiny.bits(first.state) != tiny.bits(other.state)


def test_the_callers_weights_survive_the_training(tmp_path):
    run = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=1)
    variables = initial(run)
    on_device = jax.tree.map(jnp.asarray, variables)
    before = tiny.bits(variables)
    for name, given in (("numpy", variables), ("jax", on_device)):
        loop.train(
            tiny.run_of(tmp_path / name, "tiny_vae", epochs=1), tiny.dataset_of(), variables=given
        )
        assert tiny.bits(given) == before


@pytest.mark.slow
@pytest.mark.parametrize("resident", [True, False])
def test_nothing_is_compiled_again_for_a_last_batch_or_a_checkpoint(
    tmp_path, monkeypatch, resident
):
    compiled = []
    make = Parallel._compile
    monkeypatch.setattr(
        Parallel, "_compile", lambda *args, **kw: compiled.append(make(*args, **kw)) or compiled[-1]
    )
    run, dataset = tiny.run_of(tmp_path / "run", "tiny_vae"), tiny.dataset_of()
    options = Options(checkpoint_every=2, resident=resident)
    loop.train(run, dataset, options=options)
    more = tiny.run_of(tmp_path / "run", "tiny_vae", epochs=5)
    loop.train(more, dataset, resume=True, options=options)
    assert [function._cache_size() for function in compiled] == [1, 1]


def test_images_lie_on_the_device_for_models_without_convolutions_alone():
    dense, convolutional = (create_model(name) for name in ("digits_ae", "digits_vae"))
    split = tiny.dataset_of().train
    assert epoch_module.stays_on_device(dense, split)
    assert not epoch_module.stays_on_device(convolutional, split)


def test_images_beyond_what_a_device_is_trusted_with_are_streamed(monkeypatch):
    monkeypatch.setattr(epoch_module, "RESIDENT_BYTES", 1000)
    assert not epoch_module.stays_on_device(create_model("digits_ae"), tiny.dataset_of().train)


@pytest.mark.slow
def test_both_ways_take_the_same_steps(tmp_path):
    ends = []
    for resident in (True, False):
        run = tiny.run_of(tmp_path / str(resident), "tiny_vae")
        options = Options(resident=resident)
        ends.append(loop.train(run, tiny.dataset_of(), options=options).state)
    for one, other in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_no_epochs_leave_the_weights_as_they_were(tmp_path):
    run = tiny.run_of(tmp_path / "run", epochs=0)
    variables = initial(run)
    result = loop.train(run, tiny.dataset_of(), variables=variables)
    assert result.epochs == []
    assert tiny.bits(result.state.variables) == tiny.bits(variables)
