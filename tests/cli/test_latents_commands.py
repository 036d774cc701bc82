"""``latents``, ``manifold`` and ``denoise``: what they draw, and what they refuse."""

import json

import numpy as np
import pytest
from PIL import Image

import vae_jax
from vae_jax import figures
from vae_jax.data import open_dataset
from vae_jax.latents import manifold_grid
from vae_jax.models import create_model, variable_shapes
from vae_jax.training.checkpoint import save_variables

from .feed import HYPER

SMALL = {"channels": 2}


def random_weights(name, **hyper):
    """Weights large enough to tell latents and labels apart."""
    random, model = np.random.default_rng(0), create_model(name, **hyper)
    tensors = {
        rule.source: 0.3 * random.standard_normal(rule.to_source(np.zeros(shape)).shape, np.float32)
        for rule in vae_jax.MODELS[name].rules(model)
        for shape in [variable_shapes(model)[rule.target]]
    }
    return vae_jax.import_weights(name, tensors, **hyper)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Flax checkpoint folders of untrained models, by name."""
    made = {}
    for name, hyper in [("digits_vae", SMALL | {"latent_size": 3}), ("digits_cvae", SMALL)]:
        made[name] = tmp_path_factory.mktemp("models") / name
        save_variables(made[name], name, hyper, random_weights(name, **hyper))
    return made


@pytest.fixture
def denoiser(succeed, data, tmp_path):
    """A run of no epochs, whose recipe denoises."""
    recipe = ("--data", data, "--epochs=0", *HYPER, "--corrupt=gaussian:0.3")
    succeed("train", "digits_ae", *recipe, "--out", tmp_path / "denoiser")
    return tmp_path / "denoiser"


@pytest.fixture
def drawn(monkeypatch):
    """What was handed to the figures: arguments, options and the figure made."""
    calls = []

    def watch(name):
        right = getattr(figures, name)

        def call(*arguments, **options):
            figure = right(*arguments, **options)
            calls.append((arguments, options, figure))
            return figure

        monkeypatch.setattr(figures, name, call)

    for name in ("latent_scatter", "image_table", "denoising_rows"):
        watch(name)
    return calls


def pictures_in(folder):
    found = sorted(path.name for path in folder.glob("*.png"))
    for name in found:
        with Image.open(folder / name) as picture:
            picture.verify()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "more"), [("digits_vae", "--json"), ("digits_cvae", "--seed=0")])
def test_latents_draws_means_deviations_and_draws(
    succeed, folders, data, drawn, tmp_path, name, more
):
    arguments = ("--data", data, "--count=12", "--out", tmp_path, "--dimensions", 1, 0)
    out = succeed("latents", folders[name], *arguments, more).out
    assert pictures_in(tmp_path) == ["mean.png", "posterior_and_prior.png", "std.png"]
    ((means, labels), mean, left), ((stds, _), std, right), ((table, columns), titles, _) = drawn
    assert [options["title"] for options in (mean, std)] == ["Mean", "Std"]
    assert means.shape == stds.shape == (12, 2)
    assert (stds > 0).all()
    np.testing.assert_array_equal(labels, np.arange(12) % 10)
    for figure in (left, right):  # the dimensions that are drawn, counted from 0
        axes = figure.axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("dimension 1", "dimension 0")
    assert (table.shape, columns) == ((20, 28, 28, 1), 10)
    assert titles == {"row_titles": ("posterior", "prior")}
    assert 0 <= table.min() < table.max() <= 1
    if name == "digits_cvae":
        assert out == f"12 images of {name}: {tmp_path}\n"
        return
    printed = json.loads(out)
    assert (printed["images"], printed["pictures"]) == (12, str(tmp_path))
    # All dimensions are told; those drawn were the second and the first.
    np.testing.assert_allclose(printed["mean"]["low"][1::-1], means.min(0), rtol=1e-6)
    np.testing.assert_allclose(printed["mean"]["high"][1::-1], means.max(0), rtol=1e-6)


@pytest.mark.slow
def test_the_seed_moves_the_draws_and_not_the_posteriors(succeed, folders, data, drawn, tmp_path):
    for seed in (0, 1):
        arguments = ("--data", data, "--count=12", f"--seed={seed}", "--out", tmp_path)
        succeed("latents", folders["digits_vae"], *arguments)
    means = [arguments[0] for arguments, options, _ in drawn if options.get("title") == "Mean"]
    tables = [arguments[0] for arguments, options, _ in drawn if "row_titles" in options]
    np.testing.assert_array_equal(*means)
    assert all((tables[0] != tables[1]).reshape(20, -1).any(axis=1))


def test_a_manifold_is_decoded_over_the_means_range(succeed, folders, data, drawn, tmp_path):
    target, model = tmp_path / "grid.png", folders["digits_vae"]
    options = ("--count=12", "--rows=3", "--columns=4", "--around=0.5", "--dimensions", 2, 0)
    out = succeed("manifold", model, "--data", data, *options, "--out", target).out
    hyper = SMALL | {"latent_size": 3}
    module, variables = create_model("digits_vae", **hyper), random_weights("digits_vae", **hyper)
    x = open_dataset(data, (28, 28, 1)).train.images[:12].astype(np.float32) / 127.5 - 1
    means = np.asarray(module.apply(variables, x, method="encode").mean)[:, [2, 0]]
    low, high = means.min(0) - 0.5, means.max(0) + 0.5
    ends = f"dimension 2 from {low[0]:.3g} to {high[0]:.3g}, dimension 0 from {low[1]:.3g} to "
    assert out == f"{ends}{high[1]:.3g}: {target}\n"
    assert pictures_in(tmp_path) == ["grid.png"]
    z = np.zeros((12, 3), np.float32)
    z[:, [2, 0]] = manifold_grid((low[0], high[0]), (low[1], high[1]), 4, 3)
    expected = module.apply(variables, z, method="decode")
    ((found, columns), _, _) = drawn[0]
    assert columns == 4
    np.testing.assert_allclose(found, (np.asarray(expected) + 1) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_conditional_manifold_is_a_picture_of_each_label(succeed, folders, data, drawn, tmp_path):
    model = ("manifold", folders["digits_cvae"], "--data", data, "--rows=2", "--columns=3")
    succeed(*model, "--label=3", "--label=7", "--out", tmp_path / "many.png")
    succeed(*model, "--label=7", "--out", tmp_path / "one.png")
    assert pictures_in(tmp_path) == ["many_3.png", "many_7.png", "one.png"]
    three, seven, again = (arguments[0] for arguments, _, _ in drawn)
    np.testing.assert_array_equal(seven, again)
    assert (three != seven).any()


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("digits_cvae", [], "digits_cvae needs --label (once or more)"),
        ("digits_vae", ["--label=3"], "digits_vae takes no label"),
        ("digits_cvae", ["--label=3", "--label=12"], "a label is 12; digits_cvae takes 0 to 9"),
        ("digits_vae", ["--dimensions", "0", "3"], "--dimensions 0 3: expected two of 0 to 2"),
        ("digits_vae", ["--dimensions", "1", "1"], "--dimensions 1 1: expected two of 0 to 2"),
        ("digits_vae", ["--dimensions", "-1", "1"], "-1 is not in the range"),
        ("digits_vae", ["--around=nan"], "--around is nan; expected a finite number"),
    ],
)
def test_a_manifold_that_cannot_be_is_refused(cli, folders, data, tmp_path, name, arguments, told):
    target = tmp_path / "grid.png"
    model = ("manifold", folders[name], "--data", data, "--rows=2", "--columns=2")
    assert told in cli(*model, *arguments, "--out", target).error
    assert pictures_in(tmp_path) == []


def test_a_plain_autoencoder_has_no_posterior_to_draw(cli, trained, tmp_path):
    for command in ("latents", "manifold"):
        error = cli(command, trained, "--out", tmp_path / "x.png").error
        assert "digits_ae is a plain autoencoder; expected a model with a posterior" in error
    assert "expected two of 0 to" not in error


@pytest.mark.slow
def test_a_run_that_denoises_needs_no_flag_and_prints_both_psnrs(
    succeed, denoiser, drawn, tmp_path
):
    target = tmp_path / "denoised.png"
    out = succeed("denoise", denoiser, "--count=6", "--show=2", "--out", target).out
    assert out.startswith("6 images, gaussian:0.3: PSNR ")
    assert out.endswith(f" dB after: {target}\n")
    assert pictures_in(tmp_path) == ["denoised.png"]
    (((shown, denoised, clean), _, _),) = drawn
    assert shown.shape == denoised.shape == clean.shape == (2, 28, 28, 1)
    assert 0 <= shown.min() < shown.max() <= 1
    found = json.loads(succeed("denoise", denoiser, "--count=6", "--out", target, "--json").out)
    assert (found["images"], found["corrupt"]) == (6, "gaussian:0.3")
    assert f"PSNR {found['psnr_before']:.2f} dB before" in out
    assert f"({found['psnr_before_cut_off']:.2f} clipped" in out
    assert f"{found['psnr_after']:.2f} dB after" in out
    # The images are noise of variance 1/12 and the gaussian's is 0.09 of the range.
    assert found["psnr_before"] == pytest.approx(-10 * np.log10(0.09), abs=0.3)
    assert found["psnr_before_cut_off"] > found["psnr_before"]


def test_the_json_of_images_that_the_noise_spares_is_json(succeed, trained, tmp_path):
    options = ("--corrupt=mask:0", "--count=2", "--json", "--out", tmp_path / "x.png")

    def refuse(constant):
        raise AssertionError(f"JSON has no {constant}")

    out = succeed("denoise", trained, *options).out
    found = json.loads(out, parse_constant=refuse)
    assert found["psnr_before"] is found["psnr_before_cut_off"] is None
    assert found["psnr_after"] > 0


def test_a_run_of_another_kind_asks_for_the_noise(cli, folders, trained, data, tmp_path):
    target = ("--out", tmp_path / "x.png")
    for model in (trained, folders["digits_vae"]):
        error = cli("denoise", model, "--data", data, *target).error
        assert (
            f"{model} was not trained to denoise; choose the noise, such as --corrupt gaussian"
            in error
        )
    error = cli("denoise", trained, "--corrupt=blur:3", *target).error
    assert "unknown corruption 'blur:3': expected gaussian:SIGMA" in error
    assert pictures_in(tmp_path) == []
