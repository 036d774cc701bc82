"""FLOP and bytes, against numbers worked out by hand."""

from typing import Any

import pytest

from vae_jax.benchmark.roofline import Ceilings, Cost, layers_of, measure_ceilings
from vae_jax.benchmark.tasks import make_task
from vae_jax.models import MODELS, create_model, variable_shapes

AE_KERNELS = (784 * 200, 200 * 20, 20 * 200, 200 * 784)
AE_PARAMETERS = sum(AE_KERNELS) + 200 + 20 + 200 + 784


def test_a_training_step_of_dense_layers():
    cost = make_task("digits_ae", batch_size=3).cost
    first, *others = (2 * 3 * kernel for kernel in AE_KERNELS)
    assert cost.flop == 2 * first + 3 * sum(others)  # the images need no gradient
    assert cost.moved == 10 * 4 * AE_PARAMETERS
    assert cost.resident == 4 * 4 * AE_PARAMETERS
    assert cost.images == 3


def test_an_epoch_is_its_images_and_its_steps():
    step = make_task("digits_ae", batch_size=4).cost
    epoch = make_task("digits_ae", "epoch", batch_size=4, num_images=10).cost
    assert epoch.images == 10
    assert epoch.flop == step.flop * 10 / 4
    assert epoch.moved == 3 * step.moved  # the last step is a small one


def test_an_epoch_that_drops_its_last_batch_has_no_work_of_it():
    epoch = make_task("stddev_vae", "epoch", batch_size=4, num_images=10).cost
    assert epoch.images == 8


SMALL: dict[str, Any] = {"image_shape": (8, 6, 3), "widths": (5,), "latent_size": 2}
PLACES, FLAT = 4 * 3, 4 * 3 * 5


def test_convolutions_count_the_smaller_map_and_transposed_ones_too():
    model = create_model("conv_vae", **SMALL)
    encoder = {"/".join(layer.path): layer for layer in layers_of(model, "encode", 7)}
    decoder = {"/".join(layer.path): layer for layer in layers_of(model, "decode", 7)}
    assert encoder["encoder_0"].flop == 7 * 2 * 9 * 3 * 5 * PLACES
    assert encoder["encoder_0"].training_flop == 2 * encoder["encoder_0"].flop
    assert encoder["fc_mu"].flop == encoder["fc_logvar"].flop == 7 * 2 * FLAT * 2
    assert list(decoder) == ["decoder_0", "decoder_3"]
    assert decoder["decoder_0"].training_flop == 3 * 7 * 2 * 2 * FLAT
    assert decoder["decoder_3"].flop == 7 * 2 * 9 * 5 * 3 * PLACES
    assert decoder["decoder_3"].parameters == 9 * 5 * 3 + 3


def test_encoding_is_the_mean_and_decoding_gives_images():
    encode = make_task("conv_vae", "encode", batch_size=7, **SMALL).cost
    assert encode.flop == 7 * 2 * (9 * 3 * 5 * PLACES + FLAT * 2)  # one head of two
    pixels = 7 * 8 * 6 * 3
    assert encode.moved == 4 * (9 * 3 * 5 + 5 + FLAT * 2 + 2 + pixels)
    decode, sample = (
        make_task("conv_vae", work, batch_size=7, **SMALL).cost for work in ("decode", "sample")
    )
    assert decode == sample
    assert decode.flop == 7 * 2 * (2 * FLAT + 9 * 5 * 3 * PLACES)
    assert decode.moved == 4 * (2 * FLAT + FLAT + 9 * 5 * 3 + 3 + pixels)


def test_labels_need_no_gradient_and_what_is_made_of_them_does():
    model = create_model("digits_cvae")
    label, conv, *_ = layers_of(model, "encode", 1)
    assert label.path == ("encoder", "conv_label")
    assert (label.inputs, label.constants) == (10, 10)
    assert (conv.inputs, conv.constants) == (2, 1)
    assert conv.training_flop == 2.5 * conv.flop
    dense = layers_of(model, "decode", 1)[0]
    assert (dense.inputs, dense.constants) == (12, 10)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_layer_with_a_kernel_is_seen_once(name):
    model = create_model(name)
    kernels = sorted(p[1:-1] for p in variable_shapes(model) if p[-1] == "kernel")
    found = [*layers_of(model, "encode", 1), *layers_of(model, "decode", 1)]
    assert sorted(layer.path for layer in found) == kernels


def test_the_floor_takes_the_cache_that_holds_the_work():
    ceilings = Ceilings(100.0, {1000: 50.0, 4000: 10.0})
    assert Cost(1, 200.0, 500.0, 900.0).floor(ceilings) == 2 + 10
    assert Cost(1, 200.0, 500.0, 1001.0).floor(ceilings) == 2 + 50
    assert Cost(1, 200.0, 500.0, 1e9).floor(ceilings) == 2 + 50  # the largest that is known


@pytest.mark.slow
def test_ceilings_are_measured():
    found = measure_ceilings(side=64, sizes=(1 << 16, 1 << 18))
    assert found.flops > 1e6
    assert set(found.copies) == {1 << 16, 1 << 18}
    assert min(found.copies.values()) > 1e6


def test_ceilings_are_told_in_a_line_and_as_figures_with_their_units():
    ceilings = Ceilings(1e11, {1 << 20: 5e10, 1 << 28: 4e9})
    assert str(ceilings) == (
        "products 100 GFLOP/s; passing over an array, GB/s: 50 at 1 MiB, 4 at 256 MiB"
    )
    assert ceilings.as_dict() == {
        "gflop_per_second": 100,
        "gigabytes_per_second": {"1048576": 50, "268435456": 4},
    }
