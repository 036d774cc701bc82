"""What a model does not compute with is refused, before it broadcasts into something else."""

import flax.traverse_util
import jax
import numpy as np
import pytest

import vae_jax
from vae_jax.models.base import require_images, require_label, require_latents

IMAGE_SHAPE = (5, 3, 2)


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize("shape", [(4, 3, 5, 2), (5, 3, 2), (2, 2, 5, 3), (2, 30), (2, 5, 3, 1)])
def test_images_of_another_shape_are_refused(shape):
    require_images(zeros(2, *IMAGE_SHAPE), IMAGE_SHAPE)
    with pytest.raises(ValueError, match=r"images of shape .*; expected \[B, 5, 3, 2\] \(channels"):
        require_images(zeros(*shape), IMAGE_SHAPE)


@pytest.mark.parametrize("shape", [(2, 3, 20), (20,), (2, 21)])
def test_latents_of_another_shape_are_refused(shape):
    require_latents(zeros(2, 20), 20)
    with pytest.raises(ValueError, match=r"latents of shape .*; expected \[B, 20\]"):
        require_latents(zeros(*shape), 20)


@pytest.mark.parametrize("shape", [(1, 10), (3, 10), (2, 9), (2, 1), (2,), (2, 10, 1), ()])
def test_labels_of_another_shape_are_refused(shape):
    require_label(zeros(2, 10), 2, 10)
    require_label(None, 2, 0)
    with pytest.raises(ValueError, match=r"labels of shape .*; expected one-hot \[2, 10\]"):
        require_label(zeros(*shape), 2, 10)
    with pytest.raises(ValueError, match=r"labels of shape None; expected one-hot \[2, 10\]"):
        require_label(None, 2, 10)
    with pytest.raises(ValueError, match="expected no label"):
        require_label(zeros(*shape), 2, 0)


@pytest.mark.parametrize("name", vae_jax.MODELS)
def test_every_model_refuses_them_by_its_own_sizes(name, shapes_of, unchecked):
    model = vae_jax.create_model(name, latent_size=3)
    variables = flax.traverse_util.unflatten_dict(shapes_of(model))
    height, width, channels = model.image_shape
    label = [zeros(2, model.num_classes)] if model.num_classes else []

    def run(method, *given):
        jax.eval_shape(lambda v, *a: model.apply(v, *a, method=method), variables, *given)

    with pytest.raises(ValueError, match=rf"expected \[B, {height}, {width}, {channels}\]"):
        run("encode", zeros(2, height, width, channels + 1), *label)
    with pytest.raises(ValueError, match=r"expected \[B, 3\]"):
        run("decode", zeros(2, 4), *label)
    for method, right in (("encode", zeros(2, *model.image_shape)), ("decode", zeros(2, 3))):
        run(method, right, *label)
        if label:
            with pytest.raises(ValueError, match=r"expected one-hot \[2, 10\]"):
                run(method, right, zeros(1, 10))
