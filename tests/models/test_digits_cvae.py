"""digits_cvae reads its label on both sides, and refuses to go on without it."""

import functools

import jax
import numpy as np
import pytest

import vae_jax

SMALL = {"channels": 2}
MODEL = vae_jax.create_model("digits_cvae", **SMALL)


def labels(*numbers):
    return np.eye(10, dtype=np.float32)[list(numbers)]


def images(count=2, seed=0):
    low, high = vae_jax.MODELS["digits_cvae"].pixel_range
    pixels = np.random.default_rng(seed).uniform(low, high, (count, 28, 28, 1))
    return pixels.astype(np.float32)


@pytest.fixture(scope="module")
def variables(drawn_variables):
    return drawn_variables(MODEL)


# Compiled once each, so all batches below are of ten.
encode, decode = (
    jax.jit(functools.partial(MODEL.apply, method=method)) for method in ("encode", "decode")
)


def test_every_label_moves_the_posterior_of_the_same_image(variables):
    x = np.repeat(images(1), 10, axis=0)
    posterior = encode(variables, x, labels(*range(10)))
    for head in posterior:
        assert len(np.unique(np.asarray(head), axis=0)) == 10


def test_every_label_moves_the_image_of_the_same_latent(variables):
    decoded = np.asarray(decode(variables, np.ones((10, 2), np.float32), labels(*range(10))))
    assert len(np.unique(decoded.reshape(10, -1), axis=0)) == 10


def test_a_label_is_its_own_examples_alone(variables):
    x, z = images(10), np.random.default_rng(1).normal(size=(10, 2)).astype(np.float32)
    one, other = labels(*range(10)), labels(0, 9, *range(2, 10))
    for run, value in ((encode, x), (decode, z)):
        before, after = (
            np.concatenate([np.ravel(leaf).reshape(10, -1) for leaf in jax.tree.leaves(found)], 1)
            for found in (run(variables, value, one), run(variables, value, other))
        )
        np.testing.assert_array_equal(np.delete(before, 1, 0), np.delete(after, 1, 0))
        assert (before[1] != after[1]).any()


def test_the_labels_rows_go_with_the_images_rows(variables):
    x, label = images(10), labels(1, 7, 2, 0, 0, 3, 4, 9, 9, 5)
    straight, turned = encode(variables, x, label), encode(variables, x[::-1], label[::-1])
    for a, b in zip(straight, turned, strict=True):
        np.testing.assert_allclose(a, b[::-1], rtol=1e-5, atol=1e-6)


def test_there_is_no_default_label(variables):
    for run, value in ((encode, images(10)), (decode, np.zeros((10, 2), np.float32))):
        with pytest.raises(ValueError, match="labels of shape None; expected one-hot"):
            run(variables, value)


def test_the_batchs_labels_reach_the_loss_and_both_parts_gradients(variables):
    loss = jax.jit(jax.value_and_grad(vae_jax.make_loss("digits_cvae", **SMALL), has_aux=True))
    noise, seen = np.ones((2, 2), np.float32), []
    for numbers in ((3, 4), (3, 5)):
        batch = {"image": images(), "label": labels(*numbers)}
        (total, _), gradients = loss(variables["params"], {}, batch, noise)
        # A row of these kernels is a class: only the batch's classes learn.
        of_encoder = np.asarray(gradients["encoder"]["conv_label"]["kernel"])
        of_decoder = np.asarray(gradients["decoder"]["conv1"]["kernel"])[2:]
        for rows in (of_encoder, of_decoder):
            assert sorted(np.flatnonzero(np.abs(rows).max(axis=1))) == list(numbers)
        seen.append(float(total))
    assert seen[0] != seen[1]


def test_a_batch_without_labels_is_refused_by_the_loss(variables):
    loss = vae_jax.make_loss("digits_cvae", **SMALL)
    with pytest.raises(ValueError, match=r"digits_cvae takes labels; .*batch\['label'\] \[B, 10\]"):
        loss(variables["params"], {}, {"image": images()}, np.ones((2, 2), np.float32))


def test_the_parts_are_named_as_the_originals_two_files():
    names = [rule.source for rule in vae_jax.MODELS["digits_cvae"].rules(MODEL)]
    assert {name.partition(".")[0] for name in names} == {"encoder", "decoder"}
    assert vae_jax.MODELS["digits_cvae"].reference.parts == ("encoder", "decoder")
    plain = vae_jax.MODELS["digits_vae"]
    others = {rule.source for rule in plain.rules(vae_jax.create_model("digits_vae", **SMALL))}
    assert set(names) - others == {"encoder.conv_label.weight", "encoder.conv_label.bias"}
    assert others <= set(names)
