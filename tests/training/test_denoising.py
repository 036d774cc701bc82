"""Training to denoise: noise on what is encoded, fresh at every step, and never on the target."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vae_jax
from vae_jax.corruption import corrupt
from vae_jax.data import Split
from vae_jax.data.dataset import make_dataset
from vae_jax.data.pixels import scale_pixels
from vae_jax.models import create_model, variable_shapes
from vae_jax.recipe import parse_corruption
from vae_jax.training import epoch_runner, loop
from vae_jax.training.checkpoint import load_run_variables
from vae_jax.training.state import TrainState
from vae_jax.training.step import Inputs, make_train_step

from . import tiny

RANGE = (-1.0, 1.0)
KINDS = ["gaussian:0.3", "mask:0.5", "salt-pepper:0.4"]
NO_OPTIMIZER = optax.GradientTransformation(
    lambda params: optax.EmptyState(), lambda updates, state, params=None: (updates, state)
)
IMAGES = np.random.default_rng(0).integers(1, 255, (9, 6, 5, 2), np.uint8)


@functools.cache
def what_the_loss_sees(text, pixel_range=RANGE, latent_size=None):
    """A step whose metrics are what its loss was given."""

    def loss(params, batch_stats, batch, noise, *, step):
        seen = dict(batch) if noise is None else {**batch, "noise": noise}
        return params["w"] * batch["image"].sum(), (seen, batch_stats)

    corruption = None if text == "none" else parse_corruption(text)
    inputs = Inputs(latent_size, pixel_range, corruption=corruption)
    step = make_train_step(loss, NO_OPTIMIZER, inputs)

    def run(number=0, seed=0, count=4):
        count_of_steps = jnp.asarray(number, jnp.int32)
        state = TrainState(count_of_steps, {"w": jnp.ones(())}, {}, optax.EmptyState())
        _, seen = step(state, {"image": IMAGES[:count]}, jax.random.key(seed))
        told = ("finite", "going", "gradient_norm")
        return {name: np.asarray(value) for name, value in seen.items() if name not in told}

    return run


@pytest.mark.parametrize(
    ("text", "pixel_range"), [*((text, RANGE) for text in KINDS), ("salt-pepper:0.4", (0.0, 1.0))]
)
def test_the_target_is_clean_and_the_input_is_not(text, pixel_range):
    seen = what_the_loss_sees(text, pixel_range)()
    clean = np.asarray(scale_pixels(IMAGES[:4], pixel_range))
    assert seen["image"].tobytes() == clean.tobytes()
    assert (seen["input"] != clean).any(axis=(1, 2, 3)).all()
    if not text.startswith("gaussian"):  # black and white are the range's ends
        hit = seen["input"] != clean
        assert set(np.unique(seen["input"][hit])) <= set(pixel_range)


def test_without_a_corruption_there_is_one_image_alone():
    assert what_the_loss_sees("none")().keys() == {"image"}


@pytest.mark.parametrize("text", KINDS)
def test_the_noise_is_fresh_at_every_step_and_seed_and_the_same_again(text):
    run = what_the_loss_sees(text)
    seen = [run(number, seed)["input"] for seed in (0, 1) for number in (0, 1, 7)]
    assert len({inputs.tobytes() for inputs in seen}) == 6
    assert run(7, 1)["input"].tobytes() == seen[-1].tobytes()
    noise = seen[0] - scale_pixels(IMAGES[:4], RANGE)
    assert len({example.tobytes() for example in noise}) == 4  # each example has its own


@pytest.mark.parametrize("text", ["gaussian:0.3", "mask:0.5"])
def test_padding_a_batch_does_not_change_the_noise_of_its_examples(text):
    run = what_the_loss_sees(text)
    assert run(3, count=4)["input"].tobytes() == run(3, count=9)["input"][:4].tobytes()


def test_the_latents_noise_is_another_than_the_images():
    size = IMAGES[0].size
    seen = what_the_loss_sees("gaussian:1", latent_size=size)(count=9)
    of_images = (seen["input"] - seen["image"]).reshape(9, size)
    assert seen["noise"].shape == (9, size)
    correlation = np.mean(of_images * seen["noise"]) / of_images.std()
    assert abs(correlation) < 5 / np.sqrt(9 * size)


@functools.cache
def weights():
    random, params = np.random.default_rng(1), {}
    for (_, layer, leaf), shape in variable_shapes(create_model("digits_ae", **tiny.HYPER)).items():
        values = random.uniform(-0.1, 0.1, shape).astype(np.float32)
        params.setdefault(layer, {})[leaf] = values
    return {"params": params}


def test_the_loss_encodes_the_input_and_measures_from_the_image():
    variables, model = weights(), create_model("digits_ae", **tiny.HYPER)
    rng = np.random.default_rng(0)
    clean, noisy = rng.uniform(size=(2, 3, 28, 28, 1)).astype(np.float32)
    loss = vae_jax.make_loss("digits_ae", recipe=None, **tiny.HYPER)

    def of(batch):
        return float(loss(variables["params"], {}, batch, None)[0])

    decoded, _ = model.apply(variables, noisy)
    expected = float(((np.asarray(decoded) - clean) ** 2).sum())
    found = of({"image": clean, "input": noisy})
    assert found == pytest.approx(expected, rel=1e-5)
    assert of({"image": clean, "input": clean}) == of({"image": clean})
    assert len({found, of({"image": clean}), of({"image": noisy})}) == 3


@pytest.mark.slow
def test_a_run_on_white_images_that_sees_black_alone_learns_to_decode_white(tmp_path):
    """At mask:1 no image reaches the encoder, so its first kernel has no gradient at all; were the
    target masked too, the decoder would learn black."""
    images = np.full((22, 28, 28, 1), 255, np.uint8)
    white = Split(images, np.arange(22, dtype=np.int32) % 10)
    dataset = make_dataset("white", white, None, tuple("0123456789"))
    run = tiny.run_of(tmp_path / "run", epochs=1, corrupt="mask:1")
    loop.train(run, dataset, variables=weights())
    before, after = weights()["params"], load_run_variables(run.checkpoints)["params"]
    np.testing.assert_array_equal(after["common"]["kernel"], before["common"]["kernel"])
    assert np.abs(after["common"]["bias"] - before["common"]["bias"]).max() > 0
    assert (after["decode"]["bias"] > before["decode"]["bias"]).all()


def test_the_corruption_of_a_recipe_is_that_of_its_step(tmp_path, monkeypatch):
    """The loop hands the recipe's corruption on, in the model's pixel range."""
    seen = []

    def watched(loss, optimizer, split, recipe, inputs, **options):
        seen.append((inputs.corruption, inputs.pixel_range))
        raise StopIteration

    monkeypatch.setattr(epoch_runner, "EpochSteps", watched)
    for index, text in enumerate(("mask:0.25", "none")):
        with pytest.raises(StopIteration):
            loop.train(tiny.run_of(tmp_path / str(index), corrupt=text), tiny.dataset_of())
    assert seen == [(parse_corruption("mask:0.25"), (0.0, 1.0)), (None, (0.0, 1.0))]


def test_a_steps_noise_is_that_of_its_own_keys():
    key, corruption = jax.random.key(5), parse_corruption("mask:0.5")
    _, half = jax.random.split(jax.random.fold_in(key, 7))
    clean = scale_pixels(IMAGES[:4], RANGE)
    expected = corrupt(corruption, jax.random.split(half, 4), clean, RANGE)
    found = what_the_loss_sees("mask:0.5")(7, 5)["input"]
    assert found.tobytes() == np.asarray(expected).tobytes()
