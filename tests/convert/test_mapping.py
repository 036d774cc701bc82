"""Every tensor is accounted for, both ways, and the way back is exact."""

import time

import jax
import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from adam_states import SMALL

import vae_jax
from vae_jax.convert.mapping import rules_of, source_shapes
from vae_jax.convert.names import strip_wrappers
from vae_jax.errors import CheckpointError, UserError

SIZES = {"common": (200, 784), "encoded": (20, 200), "l1": (200, 20), "decode": (784, 200)}


def digits_tensors(dtype: npt.DTypeLike = np.float32):
    rng = np.random.default_rng(0)
    tensors = {}
    for name, (out, inputs) in SIZES.items():
        tensors[f"{name}.weight"] = rng.standard_normal((out, inputs)).astype(dtype)
        tensors[f"{name}.bias"] = rng.standard_normal(out).astype(dtype)
    return tensors


def face_tensors():
    """The names and shapes of the reference, all in a few bytes of memory."""
    return {
        name: np.broadcast_to(np.int64(0) if name.endswith("tracked") else np.float32(0), shape)
        for name, shape in source_shapes("face_vae").items()
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_export_is_the_exact_inverse_of_import(dtype):
    tensors = digits_tensors(dtype)
    tensors["common.weight"][0, :3] = [np.nan, -0.0, np.inf]
    back = vae_jax.export_weights("digits_ae", vae_jax.import_weights("digits_ae", tensors))
    assert {k: v.dtype for k, v in back.items()} == {k: v.dtype for k, v in tensors.items()}
    for name, array in tensors.items():
        assert back[name].tobytes() == array.tobytes()


def test_a_dense_layer_after_convolutions_takes_its_inputs_channels_last():
    (rule,) = (r for r in rules_of("face_vae") if r.source == "encoder.linear1.weight")
    inputs = np.arange(32 * 31 * 31, dtype=np.float32)
    kernel = rule.to_target(np.broadcast_to(inputs, source_shapes("face_vae")[rule.source]))
    channel, row, column = 5, 7, 30  # one, worked out
    first = np.asarray(kernel)[(row * 31 + column) * 32 + channel]
    assert (first == (channel * 31 + row) * 31 + column).all()


def test_counters_come_back_and_those_that_old_files_lack_start_at_zero():
    rng, hyper = np.random.default_rng(0), SMALL["conv_vae"]
    shapes = source_shapes("conv_vae", **hyper)
    counters = [name for name in shapes if name.endswith("num_batches_tracked")]
    assert len(counters) == 3
    tensors = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    for count in (625, 0):
        tensors |= {name: np.array(count) for name in counters}
        given = tensors if count else {k: v for k, v in tensors.items() if k not in counters}
        variables = vae_jax.import_weights("conv_vae", given, **hyper)
        back = vae_jax.export_weights("conv_vae", variables, **hyper)
        assert back.keys() == tensors.keys()
        for name, array in tensors.items():
            assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
            assert back[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precisions_become_float32_exactly(dtype):
    tensors = digits_tensors(dtype)
    variables = vae_jax.import_weights("digits_ae", tensors)
    kernel = variables["params"]["l1"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, tensors["l1.weight"].astype(np.float32).T)


def test_imported_leaves_own_their_memory():
    tensors = digits_tensors()
    variables = vae_jax.import_weights("digits_ae", tensors)
    for leaf in jax.tree.leaves(variables):
        assert isinstance(leaf, np.ndarray)
        assert leaf.flags.c_contiguous
        assert leaf.flags.writeable
        assert not any(np.shares_memory(leaf, t) for t in tensors.values())


def test_float64_stays_float64():
    variables = vae_jax.import_weights("digits_ae", digits_tensors(np.float64))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float64)}


def test_one_error_lists_all_that_is_wrong():
    tensors = digits_tensors()
    tensors["encoder.weight"] = tensors.pop("encoded.weight")
    del tensors["l1.bias"]
    tensors["decode.weight"] = tensors["decode.weight"].T
    tensors["common.bias"] = tensors["common.bias"].astype(np.int32)
    tensors["extra"] = np.zeros(3, np.float32)
    with pytest.raises(CheckpointError) as caught:
        vae_jax.import_weights("digits_ae", tensors)
    message = str(caught.value)
    for part in (
        "missing encoded.weight (the file has encoder.weight)",
        "missing l1.bias",
        "unexpected extra (3,)",
        "decode.weight is (200, 784), expected (784, 200)",
        "common.bias is int32, expected floating point",
    ):
        assert part in message
    assert "\n" not in message


def test_a_file_of_another_model_is_told_so():
    with pytest.raises(CheckpointError, match="weights of digits_ae, not of face_vae"):
        vae_jax.import_weights("face_vae", digits_tensors())
    with pytest.raises(CheckpointError, match="weights of face_vae, not of digits_ae"):
        vae_jax.import_weights("digits_ae", face_tensors())


def test_another_latent_size_is_imported_when_it_is_named():
    tensors = digits_tensors()
    tensors["encoded.weight"], tensors["encoded.bias"] = np.zeros((7, 200)), np.zeros(7)
    tensors["l1.weight"] = np.zeros((200, 7))
    with pytest.raises(CheckpointError, match=r"encoded\.weight is \(7, 200\), expected"):
        vae_jax.import_weights("digits_ae", tensors)
    assert vae_jax.import_weights("digits_ae", tensors, latent_size=7)


def test_wrappers_prefixes_are_removed_on_import_too():
    tensors = {f"module._orig_mod.{k}": v for k, v in digits_tensors().items()}
    plain = vae_jax.import_weights("digits_ae", digits_tensors())
    wrapped = vae_jax.import_weights("digits_ae", tensors)
    assert jax.tree.all(jax.tree.map(np.array_equal, plain, wrapped))


def test_two_names_that_become_one_are_refused():
    tensors = digits_tensors()
    tensors["_orig_mod.l1.bias"] = tensors["l1.bias"]
    with pytest.raises(CheckpointError, match=r"both 'l1\.bias'"):
        vae_jax.import_weights("digits_ae", tensors)


def test_a_part_of_a_name_that_only_ends_like_a_wrapper_stays():
    names = ["module.my_orig_mod.weight", "module.submodule.bias", "module._orig_mod.module.x"]
    assert list(strip_wrappers(names).values()) == [
        "my_orig_mod.weight",
        "submodule.bias",
        "module.x",
    ]


def test_export_refuses_variables_of_another_model():
    variables = vae_jax.import_weights("digits_ae", digits_tensors())
    variables["params"]["l1"]["kernel"] = np.zeros((3, 3))
    del variables["params"]["common"]["bias"]
    with pytest.raises(CheckpointError) as caught:
        vae_jax.export_weights("digits_ae", variables)
    assert "missing params/common/bias" in str(caught.value)
    assert "params/l1/kernel is (3, 3), expected (20, 200)" in str(caught.value)


def test_an_empty_file_is_not_any_models():
    with pytest.raises(CheckpointError, match="0 of its 0 tensors"):
        vae_jax.import_weights("digits_ae", {})


@pytest.mark.parametrize("call", [vae_jax.import_weights, vae_jax.export_weights])
def test_an_unknown_model_is_answered_with_the_nearest_or_all(call):
    with pytest.raises(UserError, match=r"no model 'convvae'; did you mean conv_vae\?"):
        call("convvae", {})
    with pytest.raises(UserError, match="expected one of digits_ae, face_vae"):
        call("unet", {})


def test_rules_name_each_source_once():
    for name in vae_jax.MODELS:
        sources = [rule.source for rule in rules_of(name)]
        assert len(sources) == len(set(sources))


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        [f"encoder.layer.{number}.weight" for number in range(20_000)],
        [*(f"encoder.{number}.weight" for number in range(300)), "fc_mu.bias"],
    ],
)
def test_a_file_of_very_many_other_tensors_is_refused_soon(names):
    tensors = {name: np.zeros((1, 1, 1, 1), np.float32) for name in names}
    begin = time.process_time()
    with pytest.raises(CheckpointError, match=f"0 of its {len(names)} tensors") as caught:
        vae_jax.import_weights("face_vae", tensors)
    assert time.process_time() - begin < 10
    assert str(caught.value).isprintable()
