"""The attribute classifier: what it is shown, what it learns, what it must not learn from."""

import dataclasses

import jax
import numpy as np
import pytest
from face_arithmetic.classifier import Classifier, accuracy, classify, require_attributes, shrink
from face_arithmetic.training import (
    Augmentation,
    ClassifierRecipe,
    augment,
    blur,
    classifier_loss,
    load_classifier,
    make_targets,
    save_classifier,
    superpose,
    train_classifier,
)

from vae_jax.data import open_dataset
from vae_jax.errors import CheckpointError, DataError

QUICK = ClassifierRecipe(
    epochs=15, batch_size=16, learning_rate=4e-3, augmentation=Augmentation(largest_blur=0.5)
)


PARAMS = {"Dense_0": {"kernel": np.ones((2, 3), np.float32), "bias": np.zeros(3, np.float32)}}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Faces drawn once and small, in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return open_dataset("faces:200", (64, 64, 3))


@pytest.fixture(scope="module")
def params(faces):
    return train_classifier(faces.train.images, faces.train.attributes, QUICK)


def test_shrinking_averages_squares_of_pixels():
    images = np.zeros((2, 128, 128, 3), np.uint8)
    images[1, :2, 2:4, 0] = [[255, 255], [0, 0]]
    small = shrink(images)
    assert small.shape == (2, 64, 64, 3)
    assert small[1, 0, 1].tolist() == [0.5, 0, 0]
    assert small.sum() == 0.5


def test_bytes_and_floats_of_the_same_picture_look_alike():
    images = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    np.testing.assert_allclose(shrink(images), shrink(images.astype(np.float32) / 255), atol=1e-6)


@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 128, 3), (100, 100, 3)])
def test_pictures_that_are_no_faces_are_refused(shape):
    with pytest.raises(DataError, match="expected faces in"):
        shrink(np.zeros((1, *shape), np.float32))


def test_data_without_attributes_are_refused():
    with pytest.raises(DataError, match="digits has no attribute glasses, person, frame_lightness"):
        require_attributes({}, "digits")


@pytest.mark.slow
def test_a_classifier_learns_to_tell_held_out_faces_apart(faces, params):
    found = accuracy(classify(params, faces.test.images), faces.test.attributes)
    untaught = Classifier().init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))["params"]
    before = accuracy(classify(untaught, faces.test.images), faces.test.attributes)
    # Two questions of 20 faces: by chance, 30 of the 40 answers are right in 0.1 % of cases.
    assert found["glasses"] + found["person"] >= 1.5
    assert found["glasses"] + found["person"] > before["glasses"] + before["person"]


@pytest.mark.slow
def test_a_classifier_learns_to_tell_a_face_from_several_laid_over_each_other(faces, params):
    small = shrink(faces.test.images)
    ghosts = np.asarray(jax.jit(superpose)(small, jax.random.key(3)))
    of_faces, of_ghosts = (classify(params, x)["one"] for x in (faces.test.images, ghosts))
    assert of_faces.mean() > of_ghosts.mean() + 0.1  # quick training tells them apart by 0.23


@pytest.mark.slow
def test_superposed_faces_are_others_than_their_parts_and_stay_pictures():
    x = np.random.default_rng(0).random((16, 64, 64, 3)).astype(np.float32)
    mix = jax.jit(superpose)
    mixed = np.asarray(mix(x, jax.random.key(0)))
    assert mixed.min() >= 0
    assert mixed.max() <= 1
    assert np.abs(mixed[:, None] - x[None]).mean(axis=(2, 3, 4)).min() > 0.05
    same = np.full((16, 64, 64, 3), 0.25, np.float32)  # every weight sums to 1
    np.testing.assert_allclose(mix(same, jax.random.key(0)), same, rtol=1e-5)


@pytest.mark.slow
def test_training_is_the_same_again_and_another_with_another_seed(faces):
    short = dataclasses.replace(QUICK, epochs=1, num_images=32)
    images, known = faces.train.images, faces.train.attributes
    first, again = (train_classifier(images, known, short) for _ in range(2))
    other = train_classifier(images, known, dataclasses.replace(short, seed=1))
    kernels = [p["Conv_0"]["kernel"] for p in (first, again, other)]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_the_lightness_of_a_frame_that_is_not_there_teaches_nothing():
    known = {
        "glasses": np.array(["yes", "no"]),
        "person": np.array(["man", "woman"]),
        "frame_lightness": np.array([0.9, np.nan]),
    }
    targets = make_targets(known)
    gradient = jax.jit(jax.grad(lambda logits: classifier_loss(logits, targets).sum()))(
        np.array([[0.3, 0.1, -2.0, 0.0], [0.3, 0.1, -2.0, 0.0]], np.float32)
    )
    assert gradient[1, 2] == 0
    assert gradient[0, 2] < 0  # a step goes up, to the lighter frame
    assert np.all(gradient[:, :2] != 0)


def test_accuracy_counts_each_attribute_and_frames_alone():
    predictions = {
        "glasses": np.array([0.9, 0.2, 0.6]),
        "man": np.array([0.9, 0.2, 0.1]),
        "frame_lightness": np.array([0.5, 0.0, 0.2]),
        "one": np.array([0.9, 0.9, 0.9]),
    }
    known = {
        "glasses": np.array(["yes", "no", "no"]),
        "person": np.array(["man", "woman", "woman"]),
        "frame_lightness": np.array([0.25, np.nan, np.nan]),
    }
    assert accuracy(predictions, known) == {
        "glasses": pytest.approx(2 / 3),
        "person": 1.0,
        "one": 1.0,
        "frame_lightness": 0.25,
    }


@pytest.mark.slow
def test_a_blur_of_nothing_changes_nothing_and_a_blur_keeps_the_mean():
    x = np.zeros((2, 64, 64, 3), np.float32)
    x[:, 30, 30] = 1
    blurred = np.asarray(jax.jit(blur)(x, np.array([0, 1.5], np.float32)))
    np.testing.assert_array_equal(blurred[0], x[0])
    assert blurred[1].max() < 0.2
    np.testing.assert_allclose(blurred.sum(axis=(1, 2)), 1, atol=1e-5)
    spread = (blurred[1, :, :, 0].sum(axis=1) * (np.arange(64) - 30) ** 2).sum()
    assert spread == pytest.approx(1.5**2, rel=0.05)


@pytest.mark.slow
def test_augmented_faces_differ_from_each_other_and_stay_pictures():
    x = np.broadcast_to(np.random.default_rng(0).random((1, 64, 64, 3)), (2, 64, 64, 3))
    changed = jax.jit(augment, static_argnums=1)(
        x.astype(np.float32), Augmentation(), jax.random.key(0)
    )
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert np.abs(changed[0] - changed[1]).max() > 0.01


def test_a_classifier_is_read_back_as_it_was_written(tmp_path):
    save_classifier(tmp_path / "classifier.npz", PARAMS, QUICK, "faces, 1")
    again = load_classifier(tmp_path / "classifier.npz", QUICK, "faces, 1")
    assert jax.tree.all(jax.tree.map(np.array_equal, PARAMS, again))


@pytest.mark.parametrize(
    ("recipe", "source"), [(ClassifierRecipe(), "faces, 1"), (QUICK, "faces, 2")]
)
def test_a_classifier_of_another_recipe_or_other_data_is_refused(tmp_path, recipe, source):
    save_classifier(tmp_path / "classifier.npz", PARAMS, QUICK, "faces, 1")
    with pytest.raises(CheckpointError, match="another recipe or other data"):
        load_classifier(tmp_path / "classifier.npz", recipe, source)


def test_a_file_that_is_no_classifier_is_refused(tmp_path):
    (tmp_path / "classifier.npz").write_bytes(b"no zip")
    with pytest.raises(CheckpointError, match="holds no classifier"):
        load_classifier(tmp_path / "classifier.npz", QUICK, "faces, 1")
