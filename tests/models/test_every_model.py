"""What every line of the table of models promises; a new model is covered by being in it."""

import dataclasses
import re

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax
from vae_jax.distributions import Deterministic
from vae_jax.errors import UserError
from vae_jax.recipe import Recipe

BATCH = 2

EVERY = pytest.mark.parametrize("name", list(vae_jax.MODELS))
PARAMETERS = {
    "digits_ae": 322_804,
    "face_vae": 63_332_411,
}


def condition(spec):
    """The further arguments of ``encode`` and ``decode``: the labels, where a model takes them."""
    return (np.eye(10, dtype=np.float32)[[3, 7]],) if spec.num_classes else ()


def images(model, spec, seed=0):
    low, high = spec.pixel_range
    size = (BATCH, *model.image_shape)
    return np.random.default_rng(seed).uniform(low, high, size).astype(np.float32)


def latents(model):
    return np.random.default_rng(1).normal(size=(BATCH, model.latent_size)).astype(np.float32)


@EVERY
def test_it_is_created_with_its_references_hyperparameters(name):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)
    assert spec.name == name
    assert isinstance(model, nn.Module)
    assert isinstance(model, spec.module)
    assert spec.hyperparameters().items() <= {**vars(model), **spec.hyperparameters()}.items()
    for hyper, default in spec.hyperparameters().items():
        assert getattr(model, hyper) == default
    assert len(model.image_shape) == 3
    assert spec.summary
    assert "\n" not in spec.summary
    assert spec.pixel_range[0] < spec.pixel_range[1]
    assert spec.reference.framework
    assert spec.reference.tutorial
    assert spec.reference.checkpoint


@EVERY
def test_its_recipe_passes_its_own_checks_and_names_a_known_source(name):
    recipe = vae_jax.MODELS[name].recipe
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(Recipe)}
    assert Recipe(**fields) == recipe
    assert recipe.epochs >= 1
    assert recipe.data in ("digits", "faces")  # what everyone has


@EVERY
def test_unknown_and_absurd_hyperparameters_are_refused(name):
    with pytest.raises(UserError, match="no hyperparameter 'latents'; did you mean latent_size"):
        vae_jax.create_model(name, latents=3)
    for value in (0, -1, 2.5, "7"):
        with pytest.raises(UserError, match=f"{name}'s latent_size is {value!r}; expected a whole"):
            vae_jax.create_model(name, latent_size=value)


SLOW = [pytest.mark.slow]
COMPUTED = pytest.mark.parametrize(  # face_vae has 63 million weights
    "name", [pytest.param(n, marks=SLOW if n == "face_vae" else []) for n in vae_jax.MODELS]
)


@COMPUTED
def test_it_encodes_decodes_and_joins_both_in_eval_mode(name, drawn_variables):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)
    variables, labels, noise = drawn_variables(model), condition(spec), latents(model)

    @jax.jit
    def run(variables, x, z):
        encoded = model.apply(variables, x, *labels, method="encode")
        joined = model.apply(variables, x, *labels, noise=noise)  # nothing is mutable
        return encoded, model.apply(variables, z, *labels, method="decode"), joined

    x = images(model, spec)
    encoded, decoded, _ = run(variables, x, latents(model) * np.float32([[1], [1e4]]))
    assert isinstance(encoded, Deterministic) == (not spec.variational)
    for part in (encoded.mean, encoded.std) if spec.variational else (encoded.mean,):
        assert part.shape == (BATCH, model.latent_size)
        assert part.dtype == jnp.float32
        assert np.isfinite(part).all()
        assert np.abs(part[0] - part[1]).max() > 0  # of the images, not a constant

    # Decoded images stay in the model's range for any latent, and are not a constant.
    assert decoded.shape == (BATCH, *model.image_shape)
    assert decoded.dtype == jnp.float32
    low, high = spec.pixel_range
    assert (np.asarray(decoded) >= low).all()
    assert (np.asarray(decoded) <= high).all()
    assert np.abs(decoded[0] - decoded[1]).max() > 0

    # A call is an encoding, a draw and a decoding; a neighbour in the batch changes nothing.
    other = np.stack([x[0], images(model, spec, seed=5)[1]])
    z = encoded.reparameterize(noise)
    others, expected, (reconstructed, again) = run(variables, other, z)
    np.testing.assert_allclose(reconstructed[0], expected[0], rtol=1e-5, atol=1e-6)
    for found, before in zip(
        *map(jax.tree.leaves, ((again, others), (encoded, encoded))), strict=True
    ):
        np.testing.assert_allclose(found[0], before[0], rtol=1e-5, atol=1e-6)
        assert np.abs(found[1] - before[1]).max() > 0


@EVERY
def test_float64_in_gives_float64_out(name, shapes_of):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)

    def double(shape):
        return jax.ShapeDtypeStruct(shape, jnp.float64)

    with jax.enable_x64(True):
        # The initial variables are float32 even here.
        kinds = {leaf.dtype for leaf in shapes_of(model).values()}
        assert kinds <= {np.dtype(np.float32), np.dtype(np.int32)}
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


@EVERY
def test_its_rules_fill_every_leaf_once_from_the_references_names(name, shapes_of):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name)
    rules, shapes = spec.rules(model), shapes_of(model)
    assert sorted(rule.target for rule in rules) == sorted(shapes)
    sources = [rule.source for rule in rules]
    assert len(set(sources)) == len(sources)
    count = sum(leaf.size for path, leaf in shapes.items() if path[0] == "params")
    assert count == PARAMETERS.get(name, count)
    for rule in rules:
        *reference_path, _ = re.split("[./]", rule.source)
        assert "_".join(rule.target[1:-1]) == "_".join(reference_path)


def bits(tensors):
    return {k: v.view(np.uint32 if v.dtype == np.float32 else v.dtype) for k, v in tensors.items()}


@COMPUTED
def test_import_and_export_are_inverse_bit_for_bit(name, random_tensors):
    tensors = random_tensors(name)
    variables = vae_jax.import_weights(name, tensors)
    exported = vae_jax.export_weights(name, variables)
    rules = vae_jax.MODELS[name].rules(vae_jax.create_model(name))
    assert list(exported) == [rule.source for rule in rules]
    own = [np.asarray(leaf) for leaf in jax.tree.leaves(variables)]
    for tensor in exported.values():
        assert tensor.flags.writeable
        assert not any(np.shares_memory(tensor, leaf) for leaf in own)
    for key, value in bits(exported).items():
        assert exported[key].dtype == tensors[key].dtype, key
        assert np.array_equal(value, bits(tensors)[key]), key
    again = flax.traverse_util.flatten_dict(vae_jax.import_weights(name, exported))
    leaves = flax.traverse_util.flatten_dict(variables)
    assert again.keys() == leaves.keys()
    for path, value in bits(again).items():
        assert np.array_equal(value, bits(leaves)[path]), path


@EVERY
def test_another_latent_size_reaches_every_function(name, shapes_of, random_tensors):
    spec, model = vae_jax.MODELS[name], vae_jax.create_model(name, latent_size=7)
    assert model.latent_size == 7
    with pytest.raises(vae_jax.CheckpointError, match="expected"):
        vae_jax.import_weights(name, random_tensors(name), latent_size=7)
    variables = flax.traverse_util.unflatten_dict(shapes_of(model))
    assert sorted(rule.target for rule in spec.rules(model)) == sorted(shapes_of(model))
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
