"""Every tensor is accounted for, both ways, and the way back is exact."""

import time

import jax
import ml_dtypes
import numpy as np
import pytest

import vae_jax
from vae_jax.convert.mapping import rules_of
from vae_jax.errors import CheckpointError, UserError

SIZES = {"common": (200, 784), "encoded": (20, 200), "l1": (200, 20), "decode": (784, 200)}


def digits_tensors(dtype=np.float32):
    rng = np.random.default_rng(0)
    tensors = {}
    for name, (out, inputs) in SIZES.items():
        tensors[f"{name}.weight"] = rng.standard_normal((out, inputs)).astype(dtype)
        tensors[f"{name}.bias"] = rng.standard_normal(out).astype(dtype)
    return tensors


def face_shapes():
    """The names and shapes of the reference, all in a few bytes of memory."""
    from vae_jax.convert.mapping import _rules_and_shapes, _source_shape

    rules, shapes = _rules_and_shapes("face_vae")
    return {
        r.source: np.broadcast_to(
            np.int64(0) if r.default is not None else np.float32(0),
            _source_shape(r, shapes[r.target]),
        )
        for r in rules
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_export_is_the_exact_inverse_of_import(dtype):
    tensors = digits_tensors(dtype)
    tensors["common.weight"][0, :3] = [np.nan, -0.0, np.inf]
    back = vae_jax.export_weights("digits_ae", vae_jax.import_weights("digits_ae", tensors))
    assert {k: v.dtype for k, v in back.items()} == {k: v.dtype for k, v in tensors.items()}
    for name, array in tensors.items():
        assert back[name].tobytes() == array.tobytes()


def test_the_face_vae_comes_back_bit_for_bit_with_its_counters():
    rng = np.random.default_rng(0)
    tensors = {
        name: rng.random(a.shape, np.float32) if a.dtype == np.float32 else np.array(625)
        for name, a in face_shapes().items()
    }
    variables = vae_jax.import_weights("face_vae", tensors)
    back = vae_jax.export_weights("face_vae", variables)
    assert back.keys() == tensors.keys()
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        np.testing.assert_array_equal(back[name], array)
    # The rows of linear1 are reordered from channels first to channels last: one, worked out.
    channel, row, column = 5, 7, 30
    np.testing.assert_array_equal(
        variables["params"]["encoder"]["linear1"]["kernel"][(row * 31 + column) * 32 + channel],
        tensors["encoder.linear1.weight"][:, (channel * 31 + row) * 31 + column],
    )


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
        vae_jax.import_weights("digits_ae", face_shapes())


def test_another_latent_size_is_imported_when_it_is_named():
    tensors = digits_tensors()
    tensors["encoded.weight"], tensors["encoded.bias"] = np.zeros((7, 200)), np.zeros(7)
    tensors["l1.weight"] = np.zeros((200, 7))
    with pytest.raises(CheckpointError, match=r"encoded\.weight is \(7, 200\), expected"):
        vae_jax.import_weights("digits_ae", tensors)
    assert vae_jax.import_weights("digits_ae", tensors, latent_size=7)


def test_counters_that_old_files_lack_start_at_zero():
    tensors = face_shapes()
    names = [n for n in tensors if n.endswith("num_batches_tracked")]
    assert len(names) == 3
    shapes = {n: a.shape for n, a in tensors.items()}
    for name in names:
        del tensors[name]
    variables = vae_jax.import_weights("face_vae", tensors)
    back = vae_jax.export_weights("face_vae", variables)
    assert {n: a.shape for n, a in back.items()} == shapes
    assert all(back[n].dtype == np.int64 and back[n] == 0 for n in names)


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
    from vae_jax.convert.names import strip_wrappers

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
def test_an_unknown_model_lists_the_models(call):
    with pytest.raises(UserError, match="the models are digits_ae, face_vae"):
        call("vae", {})


def test_rules_name_each_source_once():
    for name in vae_jax.MODELS:
        sources = [rule.source for rule in rules_of(name)]
        assert len(sources) == len(set(sources))


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
