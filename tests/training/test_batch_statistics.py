"""Batch norm never normalises a single value by itself, which PyTorch refuses too."""

import jax
import numpy as np
import pytest

import vae_jax
from vae_jax.data.dataset import Split, make_dataset
from vae_jax.errors import UserError
from vae_jax.layers import BatchNorm
from vae_jax.models import MODELS, create_model
from vae_jax.training import loop
from vae_jax.training.batch_statistics import feature_maps, require_batch_statistics
from vae_jax.training.run import Run

RECIPE = MODELS["conv_vae"].recipe
SMALL = {"image_shape": (4, 4, 1), "batch_norm": True, "widths": (2, 3)}  # 4x4 to 2x2 to 1x1


def check(num_examples, width=None, hyper=SMALL, **fields):
    recipe = RECIPE.replace(**fields)
    model = create_model("conv_vae", **hyper)
    require_batch_statistics(model, recipe, num_examples, width or recipe.batch_size)


@pytest.mark.parametrize(
    ("num_examples", "fields", "found", "advice"),
    [
        (5, {"batch_size": 1}, "every batch (1 image, ", "choose a --batch-size of 2 or more"),
        (5, {"batch_size": 4}, "the last batch of an epoch (1 image", "add --drop-remainder"),
        (1, {"batch_size": 4}, "the last batch of an epoch (1 image", "train on more than one"),
        (
            8,
            {"batch_size": 4, "batch_norm_groups": 4},
            "every batch (4 images in 4 groups",
            "fewer",
        ),
        (7, {"batch_size": 4, "batch_norm_groups": 2}, "last batch of an epoch (3 images", "fewer"),
    ],
)
def test_a_batch_that_leaves_one_value_is_refused(num_examples, fields, found, advice):
    with pytest.raises(UserError) as caught:
        check(num_examples, **fields)
    assert "the batch norm encoder_4 would normalise single values in " in str(caught.value)
    assert found in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("num_examples", "fields"),
    [
        (5, {"batch_size": 4, "drop_remainder": True}),
        (6, {"batch_size": 4}),
        (8, {"batch_size": 4, "batch_norm_groups": 2}),
        (6, {"batch_size": 4, "batch_norm_groups": 2}),  # a group of two and one of padding
        (5, {"batch_size": 4, "hyper": SMALL | {"image_shape": (8, 8, 1)}}),
        (5, {"batch_size": 4, "hyper": SMALL | {"batch_norm": False}}),
    ],
)
def test_batches_of_more_values_are_not(num_examples, fields):
    check(num_examples, **fields)


def test_rows_that_pad_a_batch_for_several_devices_do_not_count():
    with pytest.raises(UserError, match="last batch of an epoch"):
        check(5, batch_size=4, width=8)
    check(6, batch_size=4, width=8)


def test_the_feature_maps_are_those_of_the_layers():
    assert feature_maps(create_model("conv_vae", **SMALL)) == {
        "encoder_1": (2, 2),
        "encoder_4": (1, 1),
        "decoder_4": (2, 2),
    }
    assert feature_maps(create_model("face_vae"))["encoder.batch2"] == (64, 64)
    assert feature_maps(create_model("digits_ae")) == {}


def test_a_run_is_refused_before_its_folder_is_made(tmp_path):
    split = Split(np.zeros((5, 4, 4, 1), np.uint8), np.zeros(5, np.int32))
    run = Run(tmp_path / "run", "conv_vae", SMALL, RECIPE.replace(batch_size=4))
    with pytest.raises(UserError, match="the batch norm encoder_4"):
        loop.train(run, make_dataset("here", split, None, ("a",)))
    assert not run.path.exists()


def test_the_layer_itself_refuses_a_single_value_in_train_mode_only():
    layer, x = BatchNorm(), np.ones((1, 1, 1, 3), np.float32)
    variables = layer.init(jax.random.key(0), x)
    layer.apply(variables, x)
    with pytest.raises(
        UserError, match=r"BatchNorm would normalise single values .*\[1, 1, 1, 3\]"
    ):
        layer.apply(variables, x, train=True, mutable=["batch_stats"])
    two = np.ones((2, 1, 1, 3), np.float32)
    layer.apply(variables, two, train=True, mutable=["batch_stats"])
    with pytest.raises(UserError, match="groups: 2"):
        BatchNorm(batch_norm_groups=2).apply(variables, two, train=True, mutable=["batch_stats"])


def test_a_loss_of_ones_own_loop_refuses_it_too():
    loss = vae_jax.make_loss("conv_vae", **SMALL)
    model = vae_jax.create_model("conv_vae", **SMALL)
    x = np.zeros((1, 4, 4, 1), np.float32)
    noise = np.zeros((1, 20), np.float32)
    variables = model.init(jax.random.key(0), x, noise=noise)
    with pytest.raises(UserError, match="the batch norm encoder_4 would normalise single values"):
        loss(variables["params"], variables["batch_stats"], {"image": x}, noise)
