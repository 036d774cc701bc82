"""What every line of the table of models promises; a new model is covered by being in it."""

import dataclasses
import inspect
import re

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax
from vae_jax.distributions import Posterior
from vae_jax.errors import UserError
from vae_jax.recipe import Recipe

BATCH = 2

pytestmark = pytest.mark.parametrize("name", list(vae_jax.MODELS))


def condition(spec):
    """The further arguments of ``encode`` and ``decode``: the labels, where a model takes them."""
    takes_label = "label" in inspect.signature(spec.module.encode).parameters
    return (np.eye(10, dtype=np.float32)[[3, 7]],) if takes_label else ()


def images(model, spec, seed=0):
    low, high = spec.pixel_range
    size = (BATCH, *model.image_shape)
    return np.random.default_rng(seed).uniform(low, high, size).astype(np.float32)


def latents(model, scale=1.0):
    z = np.random.default_rng(1).normal(size=(BATCH, model.latent_size))
    return (scale * z).astype(np.float32)


def test_it_is_created_with_its_references_hyperparameters(name):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)
    assert spec.name == name
    assert isinstance(model, nn.Module)
    assert isinstance(model, spec.module)
    assert spec.hyperparameters().items() <= {**vars(model), **spec.hyperparameters()}.items()
    for hyper, default in spec.hyperparameters().items():
        assert getattr(model, hyper) == default
    assert len(model.image_shape) == 3


def test_it_explains_itself_in_one_line(name):
    spec = vae_jax.MODELS[name]
    assert spec.summary
    assert "\n" not in spec.summary
    low, high = spec.pixel_range
    assert low < high
    assert spec.reference.framework
    assert spec.reference.tutorial
    assert spec.reference.checkpoint


def test_its_recipe_passes_its_own_checks_and_names_a_known_source(name):
    recipe = vae_jax.MODELS[name].recipe
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(Recipe)}
    assert Recipe(**fields) == recipe
    assert recipe.epochs >= 1
    assert recipe.data in ("digits", "faces")  # what everyone has


def test_unknown_and_absurd_hyperparameters_are_refused(name):
    with pytest.raises(UserError, match=f"{name} has no hyperparameter 'latents'; it has .*latent"):
        vae_jax.create_model(name, latents=3)
    for value in (0, -1, 2.5, "7"):
        with pytest.raises(UserError, match=f"{name}'s latent_size is {value!r}; expected a whole"):
            vae_jax.create_model(name, latent_size=value)


def test_encode_gives_a_posterior_exactly_where_the_model_is_variational(name, initial_variables):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)
    encode = jax.jit(lambda v, *args: model.apply(v, *args, method="encode"))
    encoded = encode(initial_variables(name), images(model, spec), *condition(spec))
    assert isinstance(encoded, Posterior) == spec.variational
    for part in (encoded.mean, encoded.std) if spec.variational else (encoded,):
        assert part.shape == (BATCH, model.latent_size)
        assert part.dtype == jnp.float32
        assert np.isfinite(part).all()
        assert np.abs(part[0] - part[1]).max() > 0  # of the images, not a constant


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_decode_stays_within_the_pixel_range_for_any_latent(name, scale, initial_variables):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)
    decode = jax.jit(lambda v, *args: model.apply(v, *args, method="decode"))
    decoded = decode(initial_variables(name), latents(model, scale), *condition(spec))
    assert decoded.shape == (BATCH, *model.image_shape)
    assert decoded.dtype == jnp.float32
    low, high = spec.pixel_range
    assert (np.asarray(decoded) >= low).all()
    assert (np.asarray(decoded) <= high).all()
    assert np.abs(decoded[0] - decoded[1]).max() > 0


def test_eval_mode_is_the_default_and_joins_encode_and_decode(name, initial_variables):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)
    variables, x, labels = initial_variables(name), images(model, spec), condition(spec)
    noise = latents(model) if spec.variational else None
    decoded, encoded = model.apply(variables, x, *labels, noise=noise)  # nothing is mutable
    z = encoded.reparameterize(noise) if spec.variational else encoded
    expected = model.apply(variables, z, *labels, train=False, method="decode")
    np.testing.assert_allclose(decoded, expected, rtol=1e-5, atol=1e-6)
    alone = model.apply(variables, x[1:], *(a[1:] for a in labels), method="encode")
    together = jax.tree.map(lambda leaf: leaf[1:], encoded)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_float64_in_gives_float64_out(name, shapes_of):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)

    def double(shape):
        return jax.ShapeDtypeStruct(shape, jnp.float64)

    with jax.enable_x64(True):
        flat = {
            path: double(leaf.shape) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
            for path, leaf in shapes_of(model).items()
        }
        variables = flax.traverse_util.unflatten_dict(flat)
        labels = tuple(double(label.shape) for label in condition(spec))
        image, latent = double((BATCH, *model.image_shape)), double((BATCH, model.latent_size))
        for method, argument in (("encode", image), ("decode", latent)):
            result = jax.eval_shape(
                lambda v, *args, method=method: model.apply(v, *args, method=method),
                variables, argument, *labels,
            )  # fmt: skip
            assert {leaf.dtype for leaf in jax.tree.leaves(result)} == {np.dtype(np.float64)}


def test_its_initial_variables_are_float32_even_where_float64_is_enabled(name, shapes_of):
    with jax.enable_x64(True):
        for path, leaf in shapes_of(vae_jax.create_model(name)).items():
            assert leaf.dtype in (jnp.float32, jnp.int32), path


@pytest.mark.parametrize("hyper", [{}, {"latent_size": 7}], ids=["default", "latent_size=7"])
def test_its_rules_fill_every_leaf_once_from_names_that_are_unique(name, hyper, shapes_of):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name, **hyper)
    rules = spec.rules(model)
    assert sorted(rule.target for rule in rules) == sorted(shapes_of(model))
    sources = [rule.source for rule in rules]
    assert len(set(sources)) == len(sources)
    assert set(spec.reference.noise_fed(model)) <= set(sources)


def test_its_submodules_are_named_as_the_references(name):
    spec = vae_jax.MODELS[name]
    for rule in spec.rules(vae_jax.create_model(name)):
        *reference_path, _ = re.split("[./]", rule.source)
        assert "_".join(rule.target[1:-1]) == "_".join(reference_path)


def bits(tensors):
    return {k: v.view(np.uint32 if v.dtype == np.float32 else v.dtype) for k, v in tensors.items()}


def test_import_and_export_are_inverse_bit_for_bit(name, random_tensors):
    tensors = random_tensors(name)
    variables = vae_jax.import_weights(name, tensors)
    exported = vae_jax.export_weights(name, variables)
    assert exported.keys() == tensors.keys()
    for key, value in bits(exported).items():
        assert exported[key].dtype == tensors[key].dtype, key
        assert np.array_equal(value, bits(tensors)[key]), key
    again = flax.traverse_util.flatten_dict(vae_jax.import_weights(name, exported))
    leaves = flax.traverse_util.flatten_dict(variables)
    assert again.keys() == leaves.keys()
    for path, value in bits(again).items():
        assert np.array_equal(value, bits(leaves)[path]), path


def test_another_latent_size_reaches_every_function(name, shapes_of, random_tensors):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name, latent_size=7)
    assert model.latent_size == 7
    with pytest.raises(vae_jax.CheckpointError, match="expected"):
        vae_jax.import_weights(name, random_tensors(name), latent_size=7)
    variables = flax.traverse_util.unflatten_dict(shapes_of(model))
    label = condition(spec)
    image = jax.ShapeDtypeStruct((BATCH, *model.image_shape), jnp.float32)
    encoded = jax.eval_shape(
        lambda v, *args: model.apply(v, *args, method="encode"), variables, image, *label
    )
    assert {leaf.shape for leaf in jax.tree.leaves(encoded)} == {(BATCH, 7)}
    loss = vae_jax.make_loss(name, latent_size=7)
    noise = jax.ShapeDtypeStruct((BATCH, 7), jnp.float32) if spec.variational else None
    batch = {"image": image} | ({"label": label[0]} if label else {})
    total, (metrics, stats) = jax.eval_shape(
        loss, variables["params"], variables.get("batch_stats", {}), batch, noise
    )
    assert total.shape == ()
    assert metrics["loss"].shape == ()
    assert jax.tree.structure(stats) == jax.tree.structure(variables.get("batch_stats", {}))
