"""A trained model from whatever holds one, and what it does with images and latents."""

import jax
import numpy as np
import pytest

import vae_jax
from vae_jax import pretrained
from vae_jax.convert import export_weights, write_checkpoint
from vae_jax.convert.parts import split_parts
from vae_jax.distributions import Deterministic, example_noise
from vae_jax.errors import UserError
from vae_jax.models import create_model, get_spec, variable_shapes
from vae_jax.pretrained import Pretrained
from vae_jax.training.checkpoint import save_variables

SMALL = {"digits_vae": {"channels": 2}, "digits_cvae": {"channels": 2}}
SMALL["digits_ae"] = {"latent_size": 3, "hidden_size": 8}


def small(name, dtype=np.float32):
    import flax.traverse_util

    random = np.random.default_rng(0)
    shapes = variable_shapes(create_model(name, **SMALL[name]))
    leaves = {path: random.normal(0, 0.3, shape).astype(dtype) for path, shape in shapes.items()}
    variables = flax.traverse_util.unflatten_dict(leaves)
    return Pretrained(name, SMALL[name], variables, get_spec(name).recipe)


@pytest.fixture(scope="module")
def vae():
    return small("digits_vae")


@pytest.fixture(scope="module")
def cvae():
    return small("digits_cvae")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)


def assert_same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_bytes_and_floats_in_the_models_range_are_encoded_alike(vae, images):
    x = images.astype(np.float32) / 127.5 - 1
    posterior = vae.encode(images)
    np.testing.assert_allclose(posterior.mean, vae.encode(x).mean, atol=1e-5)
    expected = vae.model.apply(vae.variables, x, method="encode")
    np.testing.assert_allclose(posterior.std, expected.std, rtol=1e-4)
    assert isinstance(posterior.mean, np.ndarray)


def test_a_reconstruction_decodes_the_posteriors_mean(vae, images):
    decoded = vae.model.apply(vae.variables, vae.encode(images).mean, method="decode")
    np.testing.assert_allclose(vae.reconstruct(images), decoded, atol=1e-6)
    np.testing.assert_allclose(vae.to_unit(decoded), (decoded + 1) / 2, atol=1e-6)


def test_samples_come_from_the_key(vae):
    key = jax.random.key(3)
    z = example_noise(key, 4, vae.latent_size)
    np.testing.assert_array_equal(vae.sample(4, key=key), vae.decode(z))
    assert vae.sample(0, key=key).shape == (0, 28, 28, 1)


def test_chunks_change_nothing_and_compile_one_shape(vae, images, monkeypatch):
    whole = vae.encode(images)
    monkeypatch.setattr(pretrained, "_MOST", 2)
    pretrained._apply.clear_cache()  # other tests may have compiled that shape
    np.testing.assert_allclose(vae.encode(images).mean, whole.mean, atol=1e-6)
    assert pretrained._apply._cache_size() == 1
    assert vae.encode(images[:0]).mean.shape == (0, 2)


def test_large_images_are_worked_off_in_smaller_chunks(monkeypatch):
    model = Pretrained("conv_vae", {"image_shape": (64, 64, 1)}, {}, get_spec("conv_vae").recipe)
    shapes = []

    def apply(module, method, variables, x):
        shapes.append(x.shape[0])
        return Deterministic(np.zeros((len(x), 1)))

    monkeypatch.setattr(pretrained, "_apply", apply)
    monkeypatch.setattr(pretrained, "_CHUNK_BYTES", 3 * 64 * 64 * 64 * 4)
    monkeypatch.setattr(Pretrained, "_dtype", np.float32)
    assert model.encode(np.zeros((7, 64, 64, 1), np.uint8)).mean.shape == (7, 1)
    assert shapes == [3, 3, 3]


@pytest.mark.slow
def test_one_label_is_for_all_and_several_are_one_for_each(cvae, images):
    each = cvae.reconstruct(images, [3] * 5)
    assert_same(cvae.reconstruct(images, 3), each)
    one_hot = np.eye(10, dtype=np.float32)[[1, 2]]
    expected = cvae.model.apply(
        cvae.variables, images[:2] / np.float32(127.5) - 1, one_hot, method="encode"
    )
    np.testing.assert_allclose(cvae.encode(images[:2], [1, 2]).mean, expected.mean, atol=1e-5)


def test_the_weights_type_is_the_type_of_the_computation(images):
    half = small("digits_ae", np.float16)
    assert half.decode(np.zeros((1, 3), np.float32)).dtype == np.float16


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m, x: m.encode(x[0]), "images of shape [28, 28, 1]; expected [N, 28, 28, 1]"),
        (lambda m, x: m.encode(x.astype(np.float32)), "expected floats from -1 to 1, or uint8"),
        (lambda m, x: m.encode(x * np.float32("nan")), "float images from nan to nan"),
        (lambda m, x: m.encode(x.astype(int)), "images of type int64; expected uint8"),
        (lambda m, x: m.encode(x, 3), "digits_vae takes no label"),
        (lambda m, x: m.decode(np.zeros(2)), "latents of shape [2]; digits_vae takes [N, 2]"),
        (lambda m, x: m.decode(np.zeros((4, 3))), "latents of shape [4, 3]"),
    ],
)
def test_what_a_model_cannot_take_is_refused_with_what_it_takes(vae, images, call, told):
    with pytest.raises(UserError) as caught:
        call(vae, images)
    assert told in str(caught.value)


def test_noisy_images_may_leave_the_range_when_asked(vae, images):
    x = images.astype(np.float32) / 100 - 1
    assert vae.encode(x, check_range=False).mean.shape == (5, 2)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (None, "digits_cvae takes a label with each image; give label (--label) 0 to 9"),
        ([1, 10, 2, 3, 4], "a label is 10; digits_cvae takes 0 to 9"),
        ([1, 2], "labels of shape (2,) and type int64 for 5 images"),
        (np.zeros(5), "labels of shape (5,) and type float64"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(cvae, images, label, told):
    with pytest.raises(UserError) as caught:
        cvae.encode(images, label)
    assert told in str(caught.value)


def test_a_plain_autoencoder_has_no_samples():
    with pytest.raises(UserError, match="digits_ae is a plain autoencoder: it has no prior"):
        small("digits_ae").sample(1, key=jax.random.key(0))


def test_a_flax_folder_and_files_of_it_load_as_the_same_model(tmp_path, vae):
    save_variables(tmp_path / "flax", vae.name, vae.hyper, vae.variables)
    tensors = export_weights(vae.name, vae.variables, **vae.hyper)
    write_checkpoint(tmp_path / "whole.safetensors", tensors)
    for part, contents in split_parts(tensors).items():
        write_checkpoint(tmp_path / f"A_{part}_False.pdparams", contents)
    both = [tmp_path / f"A_{part}_False.pdparams" for part in ("encoder", "decoder")]
    for path in (tmp_path / "flax", tmp_path / "whole.safetensors", both, *both):
        loaded = vae_jax.load(path)
        assert (loaded.name, loaded.hyper) == (vae.name, vae.hyper | loaded.hyper)
        assert_same(loaded.variables, vae.variables)
    assert vae_jax.load(both[1]).files == tuple(both)


@pytest.mark.parametrize(
    ("arguments", "hyper", "told"),
    [
        (("nowhere",), {}, "nowhere does not exist; expected a run folder"),
        ((".",), {}, "is neither a run folder (with run.json) nor a Flax checkpoint folder"),
        (("flax", "face_vae"), {}, "holds digits_vae, not face_vae"),
        (("flax",), {"channels": 3}, "not {'channels': 3}; leave them out"),
        (("flax",), {"key": "ema"}, "is a folder; key (--key) chooses inside a checkpoint file"),
    ],
)
def test_what_cannot_be_loaded_says_what_is_there(
    tmp_path, vae, monkeypatch, arguments, hyper, told
):
    monkeypatch.chdir(tmp_path)
    save_variables(tmp_path / "flax", vae.name, vae.hyper, vae.variables)
    with pytest.raises(UserError) as caught:
        vae_jax.load(*arguments, **hyper)
    assert told in str(caught.value)
